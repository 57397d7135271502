import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.benchmark.run import BenchmarkError
from stillhouse.benchmark.scores import metrics, read_samples
from stillhouse.params import BenchmarkTask
from stillhouse.records import Sample
from stillhouse.tables import read_table, write_table

TASK = BenchmarkTask(id="sums", kind="file", path="inputs/unused.jsonl", count=2, samples=2)


def write_output(folder: Path, reported: float, samples_of_second: int = 2) -> None:
    """The files of a lighteval run, with the columns that are read."""
    name = "2026-01-01T00-00-00.000000"
    rows = [
        {
            "doc": {
                "specific": {
                    "stillhouse": {
                        "item_id": item,
                        "scores": [1.0, 0.0][:count],
                        "completion_tokens": [5, 8][:count],
                        "finish_reasons": ["stop", "length"][:count],
                    }
                }
            },
            "model_response": {"text": ["yes", "and so on"][:count]},
        }
        for item, count in (("a", 2), ("b", samples_of_second))
    ]
    (folder / "results" / "student").mkdir(parents=True)
    results = {
        "results": {"stillhouse_sums|0": {"pass_at_1": reported}, "all": {"pass_at_1": reported}}
    }
    (folder / "results" / "student" / f"results_{name}.json").write_text(json.dumps(results))
    details = folder / "details" / "student" / name
    details.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows), details / f"details_stillhouse_sums|0_{name}.parquet"
    )


def test_samples_and_metrics(tmp_path: Path) -> None:
    write_output(tmp_path, reported=0.5)
    samples = read_samples(tmp_path, [TASK], "teacher", "student")
    assert [(s.item_id, s.sample, s.score) for s in samples] == [
        ("a", 0, 1.0),
        ("a", 1, 0.0),
        ("b", 0, 1.0),
        ("b", 1, 0.0),
    ]
    assert metrics(samples, [TASK]) == {
        "sums": {"score": 0.5, "items": 2, "samples": 4, "mean_tokens": 6.5, "truncated": 2}
    }
    write_table(tmp_path / "table", Sample, samples)
    assert sorted(s.id for s in samples) == [s.id for s in read_table(tmp_path / "table", Sample)]


def test_a_score_other_than_lighteval_s_is_an_error(tmp_path: Path) -> None:
    write_output(tmp_path, reported=0.50001)
    with pytest.raises(BenchmarkError, match=r"reports pass_at_1 0\.50001, the samples give 0\.5"):
        read_samples(tmp_path, [TASK], "teacher", "student")


def test_a_lost_sample_is_an_error(tmp_path: Path) -> None:
    write_output(tmp_path, reported=2 / 3, samples_of_second=1)
    with pytest.raises(BenchmarkError, match="3 samples of 2 items, expected 2 of each"):
        read_samples(tmp_path, [TASK], "teacher", "student")


def test_a_missing_task_is_an_error(tmp_path: Path) -> None:
    write_output(tmp_path, reported=0.5)
    other = TASK.model_copy(update={"id": "products"})
    with pytest.raises(BenchmarkError, match=r"0 files match .*products"):
        read_samples(tmp_path, [other], "teacher", "student")
