"""The items of a run's tasks, lighteval's own from a local copy of its data set: no test reaches the Hub."""

import json
import os
from pathlib import Path

import pytest

from stillhouse.benchmark import run
from stillhouse.benchmark.collect import collect
from stillhouse.benchmark.items import ItemsError
from stillhouse.benchmark.run import BenchmarkError
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.load import load_run
from stillhouse.queries.decontaminate import Reference, decontaminate
from stillhouse.records import Query, references_of
from tests.queries.query_builder import make_query

ROOT = Path(__file__).parents[2]
EVAL_PYTHON = Path(os.environ.get(run.ENVIRONMENT_VARIABLE, ".venv-eval/bin/python"))
needs_lighteval = pytest.mark.skipif(not EVAL_PYTHON.is_file(), reason="no lighteval environment")
PROBLEMS = [
    "A baker fills $12$ trays with $k$ rolls each and sells \\frac{3}{4} of them. How many rolls are left?",
    "Let $p$ be a prime with $p^2 + 14$ prime as well. Find the sum of all such $p$ below $100$.",
    "Two ships leave a port at noon, one north at $9$ knots and one east at $12$. How far apart are they at 2 pm?",
    "Find the number of ways to colour a row of $8$ tiles red or blue with no two red tiles side by side.",
]


def task(count: int = 4, **other: object) -> BenchmarkTask:
    values = {"id": "aime24", "kind": "lighteval", "task": "aime24", "count": count, "samples": 2}
    return BenchmarkTask.model_validate(values | other)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data set of lighteval's aime24, which is read instead of the Hub's of that name."""
    folder = tmp_path / "HuggingFaceH4/aime_2024"
    folder.mkdir(parents=True)
    lines = [json.dumps({"problem": p, "answer": str(i)}) for i, p in enumerate(PROBLEMS)]
    (folder / "train.jsonl").write_text("\n".join(lines))
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(EVAL_PYTHON.absolute()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@needs_lighteval
def test_lighteval_s_items_come_with_references_and_without_its_instruction(project: Path) -> None:
    items = collect([task(instruction="Box it."), task(id="few", count=3)], 1, [])
    assert [item.prompt for item in items] == PROBLEMS + PROBLEMS[:3]
    assert [references_of(item.reference or "") for item in items[:4]] == [
        ["0"],
        ["1"],
        ["2"],
        ["3"],
    ]
    assert len({item.id for item in items}) == 7
    assert {item.item_id for item in items if item.task == "few"}.isdisjoint(
        item.item_id for item in items if item.task == "aime24"
    )  # the id is of the whole prompt, as in the samples of the benchmark


@pytest.mark.slow
@needs_lighteval
def test_an_aime_item_in_a_source_is_found_with_the_paper_profile_s_parameters(
    project: Path,
) -> None:
    params = load_run(ROOT / "profiles/paper")
    aime = next(one for one in params.benchmark.tasks if one.task == "aime24")
    items = collect([aime.model_copy(update={"revision": None})], 1, [])
    references = [Reference(item.task, item.item_id, item.prompt) for item in items]
    planted = [
        make_query(PROBLEMS[0].replace("\\frac{3}{4}", "3/4").replace("$", "")),
        make_query(f"Please solve: {PROBLEMS[1]}"),
        make_query(PROBLEMS[2].replace("leave", "depart from").replace("How far", "What distance")),
    ]
    other = make_query("A baker fills 13 trays with k rolls each and sells 1/4 of them. How many?")
    # Without the Hub the embeddings cannot propose anything; the rules find the item by themselves.
    rules = params.queries.decontaminate.model_copy(update={"embedding": None})
    rows = list(decontaminate([*planted, other], references, rules))
    assert [isinstance(row, Query) for row in rows] == [False, False, False, True]


@pytest.mark.slow
@needs_lighteval
def test_without_the_hub_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(EVAL_PYTHON.absolute()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ItemsError, match=r"'aime24'.*HuggingFaceH4/aime_2024@.*allow_unchecked"):
        collect([task()], 1, [])


def test_no_task_of_lighteval_needs_no_second_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(tmp_path / "missing"))
    assert collect([], 1, []) == []
    assert collect([task()], 1, ["aime24"]) == []  # not read, because it is named
    own = BenchmarkTask(id="sums", kind="reasoning_gym", generator="chain_sum", count=3, samples=1)
    assert [item.task for item in collect([own], 1, [])] == ["sums"] * 3
    with pytest.raises(BenchmarkError, match="make env"):
        collect([own, task()], 1, [])


def test_a_lighteval_that_fails_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho it broke here; exit 3\n")
    path.chmod(0o755)
    monkeypatch.setenv(run.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(ItemsError, match=r"code 3.*\n.*it broke here"):
        collect([task()], 1, [])
