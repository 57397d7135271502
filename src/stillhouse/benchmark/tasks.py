"""The benchmark tasks as lighteval sees them; runs inside lighteval's environment.

lighteval loads this file and takes `TASKS_TABLE`: every task of the run once for each condition, whose answers it
aggregates apart. The tasks come from the JSON file that run.py wrote: tasks of our own read local JSONL files, and
their answers come with their marks; a task of lighteval's keeps its items and scorer, but is sampled n times, cut to
`count` items, asked with or without lighteval's template, and its scorer gets the answer part alone, without answer
tags. Either way the metrics are the means over the samples of an item, and each sample's marks are kept in the details.
"""

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from lighteval.metrics.metrics_sample import SampleLevelComputation, SamplingMetric
from lighteval.metrics.utils.metric_utils import SampleLevelMetricGrouping
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc, SamplingMethod

from stillhouse.benchmark.answer_tags import untagged
from stillhouse.benchmark.spec import LENIENT, RECORD, SPEC_VARIABLE, STRICT, task_name

BOX = "\\boxed"
TEXT_COLUMNS = ("problem", "question")  # of data sets, for a task that is asked by its item


class LightevalScorer:
    """Scores one answer part as a task of lighteval's does."""

    def __init__(self, config: LightevalTaskConfig) -> None:
        generative = [m for m in config.metrics if m.category == SamplingMethod.GENERATIVE]
        if not generative:
            raise ValueError(
                f"lighteval task {config.name!r} compares log-probabilities; only tasks that generate can be sampled"
            )
        self._computation = generative[0].sample_level_fn

    def score(self, doc: Doc, answer: str) -> float:
        """Return the task's own score of a response that consists of this answer, read without answer tags."""
        response = ModelResponse(text=[untagged(answer, boxed=BOX in doc.query)])
        if isinstance(self._computation, SamplingMetric):
            return float(self._computation.compute_score(doc=doc, model_response=response))
        return float(self._computation.compute(doc=doc, model_response=response))


class MeansOverSamples(SamplingMetric, SampleLevelComputation):  # type: ignore[misc]
    """The mean strict and lenient score of an item's samples.

    Answers that come without marks get those of the scorer, in the document's record.
    """

    def __init__(self, scorer: LightevalScorer | None, samples: int) -> None:
        super().__init__()
        self._scorer = scorer
        self._samples = samples

    def num_samples(self) -> int:
        """Return how many answers lighteval asks for per item."""
        return self._samples

    def compute(self, doc: Doc, model_response: ModelResponse, **_: Any) -> dict[str, float]:
        """Return both means; an answer without an answer part scores 0."""
        answers = doc.specific[RECORD]["answers"]
        if self._scorer is not None:
            for answer in answers:
                score = self._scorer.score(doc, answer["answer"]) if answer["answer"] else 0.0
                cut = answer["finish_reason"] == "length"
                answer["marks"] = {
                    "strict": 0.0 if cut else score,
                    "lenient": score,
                    "reason": None,
                    "unread": False,
                }
        return {
            STRICT: float(np.mean([answer["marks"]["strict"] for answer in answers])),
            LENIENT: float(np.mean([answer["marks"]["lenient"] for answer in answers])),
        }


def _metrics(scorer: LightevalScorer | None, samples: int) -> SampleLevelMetricGrouping:
    names = [STRICT, LENIENT]
    return SampleLevelMetricGrouping(
        metric_name=names,
        higher_is_better=dict.fromkeys(names, True),
        category=SamplingMethod.GENERATIVE,
        sample_level_fn=MeansOverSamples(scorer, samples),
        corpus_level_fn=dict.fromkeys(names, np.mean),
    )


def _item_text(line: dict[str, Any], name: str) -> str:
    for column in TEXT_COLUMNS:
        if isinstance(text := line.get(column), str) and text.strip():
            return text.strip()
    raise ValueError(
        f"the items of lighteval task {name!r} have no text in a column {' or '.join(TEXT_COLUMNS)}, so that "
        "`prompt: item` cannot ask them; set `prompt: lighteval`"
    )


def _own_prompt(line: dict[str, Any], task_name: str) -> Doc:
    item = json.loads(line["item"])
    return Doc(
        task_name=task_name,
        query=item["query"],
        choices=[item["answer"]],
        gold_index=0,
        specific={RECORD: {"item_id": item["id"]}},
    )


def _own_task(condition: int, task: dict[str, Any]) -> LightevalTaskConfig:
    return LightevalTaskConfig(
        name=task_name(condition, task["id"]),
        prompt_function=_own_prompt,
        hf_repo=task["folder"],
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        metrics=[_metrics(None, task["samples"])],
    )


def _lighteval_task(
    condition: int, task: dict[str, Any], known: dict[str, Any]
) -> LightevalTaskConfig:
    name = task["task"]
    if name not in known:
        raise ValueError(f"benchmark task {task['id']!r}: lighteval has no task {name!r}")
    config = copy.deepcopy(known[name])
    write_prompt = config.prompt_function

    def prompt(line: dict[str, Any], task_name: str) -> Doc | None:
        if line["__index"] >= task["count"]:
            return None
        doc = write_prompt(line, task_name)
        if task["by_item"]:
            doc.query, doc.instruction = _item_text(line, name), None
        question = doc.query
        doc.query += task["instruction"]
        item_id = hashlib.sha256(doc.query.encode()).hexdigest()[:32]
        doc.specific = {**(doc.specific or {}), RECORD: {"item_id": item_id, "prompt": question}}
        return doc

    config.name = task_name(condition, task["id"])
    config.full_name = f"{config.name}|0"
    config.prompt_function = prompt
    if task["revision"] is not None:
        config.hf_revision = task["revision"]
    config.metrics = (_metrics(LightevalScorer(config), task["samples"]),)
    return config


def _table() -> list[LightevalTaskConfig]:
    spec = json.loads(Path(os.environ[SPEC_VARIABLE]).read_text(encoding="utf-8"))
    tasks = spec["tasks"]
    needs_known = any(task["kind"] == "lighteval" for task in tasks)
    known = Registry.load_all_task_configs() if needs_known else {}
    return [
        _lighteval_task(condition, task, known)
        if task["kind"] == "lighteval"
        else _own_task(condition, task)
        for condition in range(spec["conditions"])
        for task in tasks
    ]


TASKS_TABLE = _table()
