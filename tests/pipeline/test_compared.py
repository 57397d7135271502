"""From parallel sets to students through DVC: which stages a change of recipe, budget or compared teachers runs."""

import pyarrow.parquet as pq
import pytest

from stillhouse.files import read_json
from stillhouse.records import Example
from stillhouse.sft.rows import FitLength, TrainingId
from stillhouse.tables.read import read_table
from tests.doubles.scripted_endpoint import ScriptedEndpoint
from tests.pipeline.micro_run import ZEROS, MicroRun, ScriptedTeachers

pytestmark = pytest.mark.slow
STUDENT = "conf/students/smollm2_135m.yaml"
SFT = {"sft@alpha-smollm2_135m-2505", "sft@worked-smollm2_135m-2505"}
FIT = "fit@smollm2_135m"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory, tiny_model):
    with ScriptedEndpoint(ScriptedTeachers()) as endpoint:
        micro = MicroRun(tmp_path_factory.mktemp("compared") / "run", tiny_model, endpoint)
        micro.edit(
            STUDENT,
            student__model=f"path:{tiny_model}",
            student__revision=ZEROS,
            student__recipe__max_steps=1,
        )
        micro.repro("align")
        yield micro


@pytest.fixture(scope="module")
def run(aligned):
    aligned.ran = aligned.repro("sft")
    return aligned


def trained_on(micro: MicroRun, teacher: str) -> list[str]:
    rows = read_table(micro.folder / f"data/fit/smollm2_135m/ids/{teacher}", TrainingId)
    return [row.query_id for row in rows]


def test_the_students_are_trained_on_the_same_queries(run):
    assert set(run.ran) == {FIT, *SFT}
    found = read_json(run.folder / "metrics/fit/smollm2_135m.json")
    rows = list(read_table(run.folder / "data/aligned/alpha", Example))
    assert trained_on(run, "alpha") == trained_on(run, "worked") == [r.query_id for r in rows]
    assert found["fits_all"] == found["aligned"] == len(rows) > 2
    for teacher in ("alpha", "worked"):
        trained = read_json(run.folder / f"metrics/sft/smollm2_135m/{teacher}/2505.json")
        for key, number in found["trained"][teacher].items():
            assert trained[key] == number, key


def test_a_recipe_changes_no_length(run):
    run.edit(STUDENT, student__recipe__learning_rate=3e-5)
    assert set(run.repro("sft")) == SFT


def test_a_budget_trains_only_those_again_whose_rows_it_changes(run):
    everything = trained_on(run, "alpha")
    lengths = list(read_table(run.folder / "data/fit/smollm2_135m/lengths", FitLength))
    # Up to the last row; a teacher that has reached the budget before it goes without it.
    sums = {
        teacher: sum(
            r.loss_tokens for r in lengths if r.teacher == teacher and r.query_id != everything[-1]
        )
        for teacher in ("alpha", "worked")
    }
    longer, shorter = sorted(sums, key=lambda teacher: -sums[teacher])
    assert sums[longer] > sums[shorter]
    budget = {"unit": "loss_tokens", "limit": sums[longer]}
    run.edit("params.yaml", training_budget=budget)
    assert set(run.repro("sft")) == {FIT, f"sft@{longer}-smollm2_135m-2505"}
    assert trained_on(run, longer) == everything[:-1]
    assert trained_on(run, shorter) == everything


def test_a_teacher_that_is_not_compared_keeps_its_rows_and_has_no_student(run):
    run.edit("params.yaml", compared_ids=["alpha"])
    ran = set(run.repro("sft")) | set(run.repro("package"))
    assert {"align", "package", FIT} <= ran
    assert "sft@worked-smollm2_135m-2505" not in ran
    align = read_json(run.folder / "metrics/align.json")
    assert (align["compared"], align["not_compared"]) == (["alpha"], ["worked"])
    rows = list(read_table(run.folder / "data/aligned/worked", Example))
    assert len(rows) == align["kept"]["worked"] > align["parallel"] == align["kept"]["alpha"]
    for name, said in (("worked", True), ("alpha", False), ("parallel", False)):
        card = (run.folder / "data/release" / name / "README.md").read_text()
        assert ("is not parallel to others" in card) is said
        assert ("answered by 1 teacher (`alpha`)" in card) is not said
    schema = pq.read_schema(next((run.folder / "data/release/parallel").rglob("*.parquet")))
    assert schema.field("answers").type.names == ["alpha"]
    assert set(run.repro("package")) == set()
