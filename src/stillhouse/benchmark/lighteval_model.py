"""The students as lighteval sees them, as one model; runs inside lighteval's environment.

It asks the process that started lighteval, condition by condition. All requests of all tasks of a condition go out as
one, so that the engine on the other side can keep its batch full, and needs the weights of one student at a time.
"""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from lighteval.models.abstract_model import LightevalModel
from lighteval.models.custom.custom_model import CustomModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.prompt_manager import PromptManager
from lighteval.tasks.requests import Doc
from lighteval.utils.cache_management import SampleCache

from stillhouse.benchmark.spec import RECORD, SPEC_VARIABLE, split_name


class ServedStudent(LightevalModel):  # type: ignore[misc]
    """Asks for answers over HTTP on the local machine."""

    def __init__(self, config: CustomModelConfig) -> None:
        spec = json.loads(Path(os.environ[SPEC_VARIABLE]).read_text(encoding="utf-8"))
        self._address = spec["address"]
        self._prompts = PromptManager(use_chat_template=True)
        # lighteval keeps answers by configuration, not by weights: an old folder would give a student the answers of
        # one trained before it.
        self.config = config.model_copy(update={"cache_dir": spec["cache"]})
        self._cache = SampleCache(self.config)

    def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        """Return each document's sampled answers; all else that came with them goes into its record."""
        by_condition: dict[int, list[int]] = {}
        for place, doc in enumerate(docs):
            by_condition.setdefault(split_name(doc.task_name)[0], []).append(place)
        responses: dict[int, ModelResponse] = {}
        for condition in sorted(by_condition):
            places = by_condition[condition]
            found = self._ask(condition, [self._wanted(docs[place]) for place in places])
            for place, answers in zip(places, found, strict=True):
                responses[place] = ModelResponse(text=[a.pop("text") for a in answers])
                docs[place].specific[RECORD]["answers"] = answers
        return [responses[place] for place in range(len(docs))]

    def _wanted(self, doc: Doc) -> dict[str, Any]:
        return {
            "task": split_name(doc.task_name)[1],
            "item_id": doc.specific[RECORD]["item_id"],
            "messages": self._prompts.prepare_prompt_api(doc),
            "samples": doc.num_samples,
        }

    def _ask(self, condition: int, wanted: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        body = json.dumps({"condition": condition, "wanted": wanted}).encode()
        request = urllib.request.Request(self._address, body)
        with urllib.request.urlopen(request) as reply:  # may take hours: no time limit here
            answers: list[list[dict[str, Any]]] = json.load(reply)
        return answers

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        """Not offered: students are compared by what they write."""
        raise NotImplementedError("tasks that compare log-probabilities are not supported")

    loglikelihood_rolling = loglikelihood

    @property
    def tokenizer(self) -> Any:
        """Not offered: tokens are counted by the engine."""
        raise NotImplementedError("the tokenizer is with the engine")

    @property
    def add_special_tokens(self) -> bool:
        """No: the chat template writes them."""
        return False

    @property
    def max_length(self) -> int:
        """Not known here; the engine refuses a prompt that is too long."""
        raise NotImplementedError("the context length is with the engine")
