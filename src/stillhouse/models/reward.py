"""Scores answers with a reward model, a sequence classifier with one output per attribute, and stores the scores.

An example is Decision-Tree-Reward-Llama-3.1-8B: a linear head of five outputs, fitted by regression to the ratings of
HelpSteer2 (0 to 4). Its decision tree compares two answers; it is not needed to score one answer, and is not loaded. No
code from a model's repository is run.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stillhouse.journal.journal import Journal, journal_key
from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.client import fingerprint_hash
from stillhouse.models.engine import EngineError
from stillhouse.models.key_names import reward_facts
from stillhouse.models.weights import resolve
from stillhouse.params.verify import RewardModel
from stillhouse.records import Message

DIGITS = 3  # decimal places of a score; further digits depend on the order of summation
HEAD_BIAS = "score.bias"


class TooLongError(EngineError):
    """A conversation has more tokens than `max_tokens` of the reward model."""


class Reward:
    """Computes all attributes of a reward model for a conversation that ends with the answer.

    A forward pass has one conversation: its few hundred tokens already use the device well, and no score depends on
    other texts of a batch. `hits` and `asked` count as in `Model`.
    """

    def __init__(self, params: RewardModel, journal: Journal) -> None:
        self._params = params
        self._journal = journal
        self._chat = ChatTokenizer(params.model, params.revision)
        self._device = asyncio.Lock()
        self.hits = 0
        self.asked = 0

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The facts that determine a score. Computing them reads the tokenizer, and downloads the weights if needed."""
        return {
            "engine": f"transformers {version('transformers')}",
            "torch": version("torch"),
            **reward_facts(self._params),
            **self._chat.fingerprint,
        }

    async def scores(self, messages: Sequence[Message], answer: str) -> dict[str, float]:
        """Return the raw score of each attribute (the scale of HelpSteer2 is 0 to 4).

        Raises:
            TooLongError: the conversation is longer than `max_tokens`; a part of an answer is never scored.
            EngineError: the model cannot be loaded, or differs from the parameters.
            JournalError: the scores could not be stored.
        """
        text = self._render(messages, answer)
        key = journal_key({"fingerprint": self.fingerprint, "prompt": text})
        kept = self._journal.get(key)
        if kept is not None:
            self.hits += 1
            stored: dict[str, float] = json.loads(kept)
            return stored
        ids = self._chat.encode(text)
        if len(ids) > self._params.max_tokens:
            raise TooLongError(
                f"{len(ids)} tokens, at most {self._params.max_tokens} (verify.reward.max_tokens) are read"
            )
        async with self._device:
            self.asked += 1
            values = await asyncio.to_thread(self._forward, ids)
        scores = dict(zip(self._params.attributes, values, strict=True))
        name = fingerprint_hash(self.fingerprint)
        await self._journal.put(key, json.dumps(scores).encode(), purpose="reward", model=name)
        return scores

    def _render(self, messages: Sequence[Message], answer: str) -> str:
        turns = [*messages, Message(role="assistant", content=answer)]
        return self._chat.render(turns, open_turn=False)

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        path = resolve(self._params.model, self._params.revision)
        try:
            model, found = AutoModelForSequenceClassification.from_pretrained(
                path,
                dtype=getattr(torch, self._params.dtype),
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError) as error:
            raise EngineError(
                f"reward model {self._params.model}: cannot be loaded without remote code: {error}"
            ) from None
        unread = sorted(
            {*map(str, found["missing_keys"]), *map(str, found["unexpected_keys"])} - {HEAD_BIAS}
        )
        if unread:
            raise EngineError(
                f"reward model {self._params.model}: its weights are not those of a sequence classifier: {unread[:5]}"
            )
        if model.config.num_labels != len(self._params.attributes):
            raise EngineError(
                f"reward model {self._params.model}: has {model.config.num_labels} outputs, "
                f"verify.reward.attributes names {len(self._params.attributes)}"
            )
        if HEAD_BIAS in found["unexpected_keys"]:
            # A head fitted as a linear probe may have a bias; the class of transformers has none and would drop it.
            model.score.bias = torch.nn.Parameter(_tensor(path, HEAD_BIAS).to(model.score.weight))
        # Without a padding token the score is read at the last token, which is right for a single row.
        model.config.pad_token_id = None
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def _forward(self, ids: list[int]) -> list[float]:
        import torch

        rows = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            logits = self._model(input_ids=rows).logits
        return [round(value, DIGITS) for value in logits[0].float().tolist()]


def _tensor(folder: Path, name: str) -> Any:
    """Return one tensor of the safetensors files in a folder."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 - not a dict
                return tensors.get_tensor(name)
    raise EngineError(f"{folder}: no tensor {name}")
