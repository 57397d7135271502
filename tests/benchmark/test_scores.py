import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from stillhouse.analysis.conditions import Condition
from stillhouse.benchmark.run import BenchmarkError
from stillhouse.benchmark.scores import metrics, read_samples
from stillhouse.params.benchmark import Benchmark, BenchmarkTask
from stillhouse.records import Sample
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table

TASK = BenchmarkTask(id="sums", kind="file", path="inputs/unused.jsonl", count=2, samples=2)
STUDENT = Condition("teacher", "student", 7)  # the second condition of its run
# strict, lenient, reason, unread; then tokens and how it ended
RIGHT = (1.0, 1.0, None, False, 5, "stop")
CUT_BUT_MARKED = (0.0, 1.0, None, False, 8, "length")
CUT = (0.0, 0.0, "truncated", False, 8, "length")
UNREAD = (0.0, 0.0, "unread", True, 5, "stop")


def benchmark(score: str = "strict", task: BenchmarkTask = TASK) -> Benchmark:
    sampling = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8, "system_prompt": None}
    return Benchmark.model_validate({"tasks": [task], "sampling": sampling, "score": score})


def answer(marks: tuple[Any, ...]) -> dict[str, Any]:
    strict, lenient, reason, unread, tokens, end = marks
    return {
        "answer": "yes",
        "finish_reason": end,
        "completion_tokens": tokens,
        "marks": {"strict": strict, "lenient": lenient, "reason": reason, "unread": unread},
    }


def write_output(
    folder: Path,
    answers: tuple[list[Any], list[Any]],
    strict: float | None = None,
    lenient: float | None = None,
) -> None:
    """The files of a lighteval run, with the columns that are read; its means are the right ones unless given."""
    name = "2026-01-01T00-00-00.000000"
    rows = [
        {
            "doc": {
                "specific": {"stillhouse": {"item_id": item, "answers": list(map(answer, own))}}
            },
            "model_response": {"text": ["<think>so</think>yes"] * len(own)},
        }
        for item, own in zip("ab", answers, strict=True)
    ]
    every = [marks for own in answers for marks in own]
    reported = {
        "pass_at_1_strict": sum(m[0] for m in every) / len(every) if strict is None else strict,
        "pass_at_1_lenient": sum(m[1] for m in every) / len(every) if lenient is None else lenient,
    }
    (folder / "results" / "student").mkdir(parents=True)
    results = {"results": {"stillhouse_1_sums|0": reported, "all": reported}}
    (folder / "results" / "student" / f"results_{name}.json").write_text(json.dumps(results))
    details = folder / "details" / "student" / name
    details.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows), details / f"details_stillhouse_1_sums|0_{name}.parquet"
    )


def test_samples_and_metrics_have_the_three_scores_side_by_side(tmp_path: Path) -> None:
    write_output(tmp_path, ([RIGHT, CUT_BUT_MARKED], [UNREAD, CUT]))
    samples = read_samples(tmp_path, benchmark(), STUDENT, 1)
    assert [(s.item_id, s.sample, s.score, s.score_strict, s.score_lenient) for s in samples] == [
        ("a", 0, 1.0, 1.0, 1.0),
        ("a", 1, 0.0, 0.0, 1.0),
        ("b", 0, 0.0, 0.0, 0.0),
        ("b", 1, 0.0, 0.0, 0.0),
    ]
    assert {(s.teacher, s.student, s.seed) for s in samples} == {STUDENT}
    assert [(s.reason, s.unread) for s in samples] == [
        (None, False),
        (None, False),
        ("unread", True),
        ("truncated", False),
    ]
    assert metrics(samples, benchmark()) == {
        "sums": {
            "score": 0.25,
            "strict": 0.25,
            "lenient": 0.5,
            "finished": 0.5,
            "items": 2,
            "finished_items": 2,
            "samples": 4,
            "mean_tokens": 6.5,
            "truncated": 0.5,
            "unread": 0.25,
        }
    }
    write_table(tmp_path / "table", Sample, samples)
    assert sorted(s.id for s in samples) == [s.id for s in read_table(tmp_path / "table", Sample)]


@pytest.mark.parametrize(
    ("decides", "scores", "mean"),
    [
        ("strict", [1.0, 0.0, 0.0, 0.0], 0.25),
        ("lenient", [1.0, 1.0, 0.0, 0.0], 0.5),
        ("finished", [1.0, None, None, None], 1.0),
    ],
)
def test_a_parameter_names_the_score_that_decides(
    tmp_path: Path, decides: str, scores: list[float | None], mean: float
) -> None:
    """Item b has no finished answer: for `finished` it is left out and not counted as wrong."""
    write_output(tmp_path, ([RIGHT, CUT_BUT_MARKED], [CUT, CUT]))
    samples = read_samples(tmp_path, benchmark(decides), STUDENT, 1)
    assert [s.score for s in samples] == scores
    summary = metrics(samples, benchmark(decides))["sums"]
    assert (summary["score"], summary["items"], summary["finished_items"]) == (mean, 2, 1)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValidationError, match="'strict', 'lenient' or 'finished'"):
        benchmark("best")


def test_finished_is_the_mean_over_items_and_not_over_answers(tmp_path: Path) -> None:
    write_output(tmp_path, ([RIGHT, CUT], [RIGHT, UNREAD]))
    samples = read_samples(tmp_path, benchmark("finished"), STUDENT, 1)
    assert metrics(samples, benchmark("finished"))["sums"]["score"] == 0.75


def test_without_a_finished_answer_there_is_no_finished_score(tmp_path: Path) -> None:
    write_output(tmp_path, ([CUT, CUT], [CUT, CUT_BUT_MARKED]))
    samples = read_samples(tmp_path, benchmark("finished"), STUDENT, 1)
    summary = metrics(samples, benchmark("finished"))["sums"]
    assert not {"score", "finished"} & set(summary)
    assert (summary["strict"], summary["lenient"], summary["truncated"]) == (0.0, 0.25, 1.0)


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        ({"strict": 0.50001}, r"reports pass_at_1_strict 0\.50001, the samples give 0\.5"),
        ({"lenient": 0.5}, r"reports pass_at_1_lenient 0\.5, the samples give 0\.75"),
    ],
)
def test_a_score_other_than_lighteval_s_is_an_error(
    tmp_path: Path, reported: dict[str, float], message: str
) -> None:
    write_output(tmp_path, ([RIGHT, CUT_BUT_MARKED], [RIGHT, CUT]), **reported)
    with pytest.raises(BenchmarkError, match=message):
        read_samples(tmp_path, benchmark(), STUDENT, 1)


def test_a_lost_sample_is_an_error(tmp_path: Path) -> None:
    write_output(tmp_path, ([RIGHT, CUT], [RIGHT]))
    with pytest.raises(BenchmarkError, match="3 samples of 2 items, expected 2 of each"):
        read_samples(tmp_path, benchmark(), STUDENT, 1)


def test_a_missing_task_is_an_error(tmp_path: Path) -> None:
    write_output(tmp_path, ([RIGHT, CUT], [RIGHT, CUT]))
    other = TASK.model_copy(update={"id": "products"})
    with pytest.raises(BenchmarkError, match=r"0 files match .*products"):
        read_samples(tmp_path, benchmark(task=other), STUDENT, 1)
