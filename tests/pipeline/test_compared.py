"""From parallel sets to students through DVC: which stages a change of budget, recipe or compared teachers runs."""

import pyarrow.parquet as pq
import pytest

from stillhouse.files import read_json
from stillhouse.records import Example, FitLength, TrainingId
from stillhouse.tables.read import read_table
from tests.doubles.scripted_endpoint import ScriptedEndpoint
from tests.pipeline.micro_run import ZEROS, MicroRun, ScriptedTeachers

STUDENT = "conf/students/smollm2_135m.yaml"
SFT = {"sft@alpha-smollm2_135m", "sft@worked-smollm2_135m"}
FIT = "fit@smollm2_135m"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory, tiny_model):
    with ScriptedEndpoint(ScriptedTeachers()) as endpoint:
        micro = MicroRun(tmp_path_factory.mktemp("compared") / "run", tiny_model, endpoint)
        micro.edit(
            STUDENT,
            student__model=f"path:{tiny_model}",
            student__revision=ZEROS,
            student__recipe__max_steps=1,
        )
        micro.repro("package")
        yield micro


@pytest.fixture(scope="module")
def run(packaged):
    packaged.ran = packaged.repro("sft")
    return packaged


def trained_on(micro: MicroRun, teacher: str) -> list[str]:
    rows = read_table(micro.folder / f"data/fit/smollm2_135m/ids/{teacher}", TrainingId)
    return [row.query_id for row in rows]


def fit_metrics(micro: MicroRun) -> dict:
    return read_json(micro.folder / "metrics/fit/smollm2_135m.json")


def test_the_students_are_trained_on_the_same_queries(run):
    assert set(run.ran) == {FIT, *SFT}
    found = fit_metrics(run)
    aligned = list(read_table(run.folder / "data/aligned/alpha", Example))
    assert trained_on(run, "alpha") == trained_on(run, "worked") == [r.query_id for r in aligned]
    assert found["fits_all"] == found["aligned"] == len(aligned) > 2
    for teacher in ("alpha", "worked"):
        trained = read_json(run.folder / f"metrics/sft/{teacher}/smollm2_135m.json")
        for key, number in found["trained"][teacher].items():
            assert trained[key] == number, key


def test_a_recipe_changes_no_length(run):
    run.edit(STUDENT, student__recipe__learning_rate=3e-5)
    assert set(run.repro("sft")) == SFT


def test_a_budget_trains_only_those_again_whose_rows_it_changes(run):
    everything = trained_on(run, "alpha")
    run.edit("params.yaml", training_budget={"unit": "loss_tokens", "limit": None})
    ran = set(run.repro("sft"))
    changed = {t for t in ("alpha", "worked") if trained_on(run, t) != everything}
    assert len(changed) == 1  # the other teacher has the fewest tokens, hence all its rows
    assert ran == {FIT, *(f"sft@{t}-smollm2_135m" for t in changed)}


def test_a_limit_leaves_a_row_out_for_all(run):
    run.edit("params.yaml", training_budget={"unit": "rows", "limit": None})
    lengths = list(read_table(run.folder / "data/fit/smollm2_135m/lengths", FitLength))
    longest = max(lengths, key=lambda row: row.tokens)
    run.edit(STUDENT, student__recipe__max_length=longest.tokens - 1)
    assert set(run.repro("sft")) == {FIT, *SFT}
    left = sorted({row.query_id for row in lengths if row.query_id != longest.query_id})
    assert trained_on(run, "alpha") == trained_on(run, "worked") == left
    assert fit_metrics(run)["too_long"][longest.teacher] == 1


def test_a_teacher_that_is_not_compared_keeps_its_rows_and_has_no_student(run):
    parallel = {row.query_id for row in read_table(run.folder / "data/aligned/alpha", Example)}
    run.edit("params.yaml", compared_ids=["alpha"])
    ran = set(run.repro("sft")) | set(run.repro("package"))
    assert ran <= {"align", "package", FIT, "sft@alpha-smollm2_135m"}
    assert {"align", "package", FIT} <= ran
    align = read_json(run.folder / "metrics/align.json")
    assert (align["compared"], align["not_compared"]) == (["alpha"], ["worked"])
    rows = list(read_table(run.folder / "data/aligned/worked", Example))
    assert len(rows) == align["kept"]["worked"] > align["parallel"] >= len(parallel)
    for name, said in (("worked", True), ("alpha", False), ("parallel", False)):
        card = (run.folder / "data/release" / name / "README.md").read_text()
        assert ("is not parallel to others" in card) is said
    assert "answered by 1 teachers (`alpha`)" in card
    schema = pq.read_schema(next((run.folder / "data/release/parallel").rglob("*.parquet")))
    assert schema.field("answers").type.names == ["alpha"]
