"""The pipeline end to end through DVC, and the rules that keep its results true."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from stillhouse.files import read_json
from stillhouse.records import Decision, Example, Query, Rejected, Response
from stillhouse.tables.read import read_table
from tests.doubles.scripted_endpoint import ScriptedEndpoint
from tests.pipeline.micro_run import DEMANDS, EXPECTED, MicroRun, ScriptedTeachers

CHAIN = ("generate", "verify", "perplexity", "filter")
FAN_INS = {"align", "package"}


@pytest.fixture(scope="module")
def teachers() -> ScriptedTeachers:
    return ScriptedTeachers()


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model, teachers):
    with ScriptedEndpoint(teachers) as endpoint:
        micro = MicroRun(tmp_path_factory.mktemp("micro") / "run", tiny_model, endpoint)
        # Killed inside the first generate stage, then started again: all that follows stands on the resumed run.
        teachers.hold_after = 6
        micro.kill_inside("alpha", teachers)
        micro.answered_when_killed = set(teachers.asked) - set(teachers.held)
        teachers.hold_after = None
        teachers.release.set()
        micro.ran = micro.repro()
        yield micro


def names(micro: MicroRun) -> dict[str, str]:
    """Return the name of each query by its id."""
    queries = read_table(micro.folder / "data/queries/curated", Query)
    return {q.id: re.search(r"Question (\w+):", q.prompt).group(1) for q in queries}


def test_a_killed_run_asks_only_for_what_is_missing(run, teachers):
    assert len(run.answered_when_killed) >= 6
    asked = [request for request in teachers.asked if request[0] == "alpha"]
    again = {request for request in asked if asked.count(request) > 1}
    assert again == set(teachers.held)  # those that were in flight
    attempts = sum(count for count, _ in EXPECTED.values())
    assert len(set(asked)) == attempts
    hits = read_json(run.folder / "metrics/effort/alpha.json")["journal_hits"]
    assert hits >= len(run.answered_when_killed)


def test_every_stage_ran_once_and_in_order(run):
    expected = {f"{stage}@{t}" for stage in CHAIN for t in ("alpha", "beta", "worked")}
    assert set(run.ran) | {"queries"} == expected | FAN_INS | {"queries", "audit", "judge_audit"}
    assert len(run.ran) == len(set(run.ran))


def test_the_contaminated_query_is_rejected_with_its_evidence(run):
    rejected = list(read_table(run.folder / "data/queries/rejected", Rejected))
    assert [row.reason for row in rejected] == ["contaminated"]
    assert "own_items" in (rejected[0].evidence or "")


def test_the_judge_wrote_the_constraints_that_were_lacking(run):
    queries = read_table(run.folder / "data/queries/curated", Query)
    (query,) = (query for query in queries if query.category == "if")
    assert [constraint.kwargs for constraint in query.constraints] == [
        {"demand": demand} for demand in DEMANDS
    ]
    metrics = read_json(run.folder / "metrics/queries.json")
    assert metrics["demands"] == {"asked": 1, "written": 1}
    released = read_table(run.folder / "data/aligned/alpha", Example)
    assert query.constraints in [row.constraints for row in released]


@pytest.mark.parametrize("teacher", ["alpha", "beta"])
def test_the_funnel_row_by_row(run, teacher):
    by_id = names(run)
    responses = {}
    for row in read_table(run.folder / f"data/responses/{teacher}/attempts", Response):
        responses.setdefault(by_id[row.query_id], []).append(row)
    decisions = read_table(run.folder / f"data/filtered/{teacher}/decisions", Decision)
    reasons = {row.response_id: row.reason for row in decisions}
    found = {}
    for name, rows in responses.items():
        last = max(rows, key=lambda row: row.attempt)
        found[name] = (len(rows), reasons[last.id])
        assert sorted(row.attempt for row in rows) == list(range(len(rows)))
        assert len({row.seed for row in rows}) == len(rows)
    assert found == EXPECTED


def test_metrics_agree_with_the_rows(run):
    metrics = read_json(run.folder / "metrics/filter/alpha.json")
    assert metrics["queries"] == len(EXPECTED)
    assert metrics["kept"] == sum(reason is None for _, reason in EXPECTED.values())
    assert read_json(run.folder / "metrics/generate/alpha.json")["truncated"] == 3
    assert not Path("/tmp/escaped").exists()


def test_the_parallel_set_is_what_all_teachers_kept(run):
    by_id = names(run)
    kept = {name for name, (_, reason) in EXPECTED.items() if reason is None}
    for teacher in ("alpha", "beta", "worked"):
        rows = list(read_table(run.folder / f"data/aligned/{teacher}", Example))
        assert {by_id[row.query_id] for row in rows} == kept
        assert [row.id for row in rows] == sorted(row.id for row in rows)


def test_a_second_repro_runs_no_stage(run):
    assert run.repro() == []


def test_a_runtime_key_runs_nothing(run):
    run.edit("conf/runtime.yaml", teachers__alpha__in_flight_per_endpoint=7)
    assert run.repro() == []


def test_a_new_name_of_the_run_is_no_reason_to_ask_anybody(run):
    run.edit("params.yaml", run__name="renamed")
    assert run.repro() == ["package"]


def test_a_docstring_runs_only_the_hash_of_the_code(run):
    path = run.folder / "src/stillhouse/records.py"
    path.write_text(path.read_text().replace('"""', '"""Edited. ', 1))
    assert run.repro() == ["code"]


def test_a_filter_threshold_runs_filter_and_what_follows(run):
    run.edit("params.yaml", filter__max_tokens=90_000)
    ran = set(run.repro())
    # the accepted rows stay what they were, so that align, whose inputs are unchanged, is not run
    assert {"filter@alpha", "filter@beta", "filter@worked"} <= ran
    assert ran <= {"filter@alpha", "filter@beta", "filter@worked", *FAN_INS}


def test_a_temperature_runs_one_chain_and_the_fan_ins(run):
    run.edit("conf/teachers/alpha.yaml", teacher__sampling__temperature=0.8)
    ran = set(run.repro())
    assert {f"{stage}@alpha" for stage in CHAIN} <= ran
    assert ran <= {f"{stage}@alpha" for stage in CHAIN} | FAN_INS


def test_a_removed_teacher_is_gone_from_the_fan_ins(run):
    run.edit("params.yaml", teacher_ids=["alpha", "worked"])
    assert set(run.repro()) == FAN_INS
    assert entries(run.folder / "data/aligned") == {"alpha", "worked"}
    assert entries(run.folder / "data/release") == {"alpha", "worked", "parallel"}


def test_two_folders_give_the_same_bytes(run, tmp_path, tiny_model, teachers):
    with ScriptedEndpoint(teachers) as endpoint:
        other = MicroRun(tmp_path / "other", tiny_model, endpoint)
        # What the tests above have changed, the removed teacher too: the other one runs two chains.
        shutil.copy(run.folder / "params.yaml", other.folder)
        other.edit("conf/teachers/alpha.yaml", teacher__sampling__temperature=0.8)
        other.repro()
    first, second = digests(run.folder), digests(other.folder)
    left_over = {name for name in first if "beta" in Path(name).parts or Path(name).stem == "beta"}
    assert first.keys() - left_over == second.keys()
    # DVC's lists of what git ignores keep the name of the removed teacher.
    compared = {name for name in second if Path(name).name != ".gitignore"}
    assert {name for name in compared if first[name] != second[name]} == set()


def entries(folder: Path) -> set[str]:
    """Return the names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file that the stages wrote."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in ("data", "metrics")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file() and "effort" not in path.parts
    }
