"""The pipeline end to end through DVC, and the rules that keep its results true."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from stillhouse.files import read_json
from stillhouse.records import Decision, Example, Perplexity, Query, Rejected, Response, Verdict
from stillhouse.tables.read import read_table
from tests.doubles.scripted_endpoint import ScriptedEndpoint
from tests.pipeline.micro_run import DEMANDS, EXPECTED, MicroRun, ScriptedTeachers

CHAIN = ("generate", "verify", "perplexity", "filter")
FAN_INS = {"align", "package"}
TEACHERS = ("alpha", "worked")
PRODUCES = {"verify": "verdicts", "filter": "filtered", "package": "release"}


@pytest.fixture(scope="module")
def teachers() -> ScriptedTeachers:
    return ScriptedTeachers()


# One run in steps, so that no test is charged for all of it.


@pytest.fixture(scope="module")
def queried(tmp_path_factory, tiny_model, teachers):
    with ScriptedEndpoint(teachers) as endpoint:
        micro = MicroRun(tmp_path_factory.mktemp("micro") / "run", tiny_model, endpoint)
        micro.ran = micro.repro("queries")
        yield micro


@pytest.fixture(scope="module")
def answered(queried, teachers):
    """Killed inside the first generate stage, then started again: all that follows stands on the resumed run."""
    teachers.hold_after = 6
    queried.kill_inside("alpha", teachers)
    queried.answered_when_killed = set(teachers.asked) - set(teachers.held)
    teachers.hold_after = None
    teachers.release.set()
    queried.ran += queried.repro("generate@alpha")
    return queried


@pytest.fixture(scope="module")
def graded(answered):
    answered.ran += answered.repro("verify")
    return answered


@pytest.fixture(scope="module")
def scored(graded):
    graded.ran += graded.repro("perplexity")
    return graded


@pytest.fixture(scope="module")
def run(scored):
    scored.ran += scored.repro("package")
    return scored


def names(micro: MicroRun) -> dict[str, str]:
    """Return the name of each query by its id."""
    queries = read_table(micro.folder / "data/queries/curated", Query)
    return {q.id: re.search(r"Question (\w+):", q.prompt).group(1) for q in queries}


def test_the_contaminated_query_is_rejected_with_its_evidence(queried):
    rejected = list(read_table(queried.folder / "data/queries/rejected", Rejected))
    assert [row.reason for row in rejected] == ["contaminated"]
    assert "own_items" in (rejected[0].evidence or "")


def test_a_killed_run_asks_only_for_what_is_missing(answered, teachers):
    assert len(answered.answered_when_killed) >= 6
    asked = [request for request in teachers.asked if request[0] == "alpha"]
    again = {request for request in asked if asked.count(request) > 1}
    assert again == set(teachers.held)  # those that were in flight
    attempts = sum(count for count, _ in EXPECTED.values())
    assert len(set(asked)) == attempts
    hits = read_json(answered.folder / "metrics/effort/alpha.json")["journal_hits"]
    assert hits >= len(answered.answered_when_killed)


def test_every_attempt_has_a_verdict(graded):
    for teacher in TEACHERS:
        asked = read_table(graded.folder / f"data/responses/{teacher}/attempts", Response)
        verdicts = list(read_table(graded.folder / f"data/verdicts/{teacher}", Verdict))
        assert [verdict.response_id for verdict in verdicts] == [row.id for row in asked]
        assert {verdict.state for verdict in verdicts} >= {"pass"}


def test_what_was_verified_has_a_perplexity(scored):
    for teacher in TEACHERS:
        verdicts = read_table(scored.folder / f"data/verdicts/{teacher}", Verdict)
        passed = {verdict.response_id for verdict in verdicts if verdict.state == "pass"}
        rows = list(read_table(scored.folder / f"data/perplexity/{teacher}", Perplexity))
        assert {row.response_id for row in rows} == passed
        assert all(row.perplexity > 1 for row in rows)


def test_every_stage_ran_once_and_in_order(run):
    expected = {f"{stage}@{t}" for stage in CHAIN for t in TEACHERS}
    first = {"code", "benchmark_items", "queries", "audit", "judge_audit"}
    assert set(run.ran) == expected | FAN_INS | first
    assert len(run.ran) == len(set(run.ran))


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


def test_the_funnel_row_by_row(run):
    by_id = names(run)
    responses = {}
    for row in read_table(run.folder / "data/responses/alpha/attempts", Response):
        responses.setdefault(by_id[row.query_id], []).append(row)
    decisions = read_table(run.folder / "data/filtered/alpha/decisions", Decision)
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
    for teacher in TEACHERS:
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


# The next two stop before `package`, which the test after them runs once for both.
def test_a_filter_threshold_runs_filter_and_what_follows(run):
    run.edit("params.yaml", filter__max_tokens=90_000)
    ran = set(run.repro("align"))
    # the accepted rows stay what they were, so that align, whose inputs are unchanged, is not run
    filters = {f"filter@{teacher}" for teacher in TEACHERS}
    assert filters <= ran
    assert ran <= filters | FAN_INS


def test_a_temperature_runs_one_chain_and_the_fan_ins(run):
    run.edit("conf/teachers/alpha.yaml", teacher__sampling__temperature=0.8)
    ran = set(run.repro("align"))
    assert {f"{stage}@alpha" for stage in CHAIN} <= ran
    assert ran <= {f"{stage}@alpha" for stage in CHAIN} | FAN_INS


def test_a_removed_teacher_is_gone_from_the_fan_ins(run):
    run.edit("params.yaml", teacher_ids=["alpha"], compared_ids=["alpha"])
    assert set(run.repro()) == FAN_INS
    assert entries(run.folder / "data/aligned") == {"alpha"}
    assert entries(run.folder / "data/release") == {"alpha", "parallel"}


@pytest.fixture(scope="module")
def other(run, tmp_path_factory, tiny_model, teachers):
    """A folder of its own with what the tests above have changed, the removed teacher too."""
    with ScriptedEndpoint(teachers) as endpoint:
        other = MicroRun(tmp_path_factory.mktemp("other") / "run", tiny_model, endpoint)
        shutil.copy(run.folder / "params.yaml", other.folder)
        other.edit("conf/teachers/alpha.yaml", teacher__sampling__temperature=0.8)
        yield other


@pytest.mark.parametrize("target", ["verify", "filter", "package"])
def test_two_folders_give_the_same_bytes(run, other, target):
    other.repro(target)
    first, second = digests(run.folder), digests(other.folder)
    assert any(name.startswith(f"data/{PRODUCES[target]}/") for name in second)
    # DVC's lists of what git ignores keep the name of the removed teacher.
    compared = {name for name in second if Path(name).name != ".gitignore"}
    assert {name for name in compared if first.get(name) != second[name]} == set()
    if target == "package":
        of_removed = {name for name in first if "worked" in {*Path(name).parts, Path(name).stem}}
        assert first.keys() - of_removed == second.keys()


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
