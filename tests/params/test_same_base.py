from pathlib import Path

import pytest

from stillhouse.params.files import read_yaml
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.load import load_run, load_student, load_teacher
from stillhouse.params.same_base import shared_bases
from stillhouse.params.teacher import Teacher

ROOT = Path(__file__).resolve().parents[2]
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 100}


def teacher(label: str, model: str, base: str | None = None) -> Teacher:
    return Teacher.model_validate(
        {
            "label": label,
            "engine": "vllm",
            "model": model,
            "revision": "a" * 40,
            "license": "mit",
            "base_model": base,
            "sampling": SAMPLING,
        }
    )


def scorer(model: str) -> PerplexityScorer:
    return PerplexityScorer(model=model, revision="b" * 40, dtype="float32", max_tokens=10)


def test_different_models_give_no_warning():
    assert shared_bases([teacher("A", "x/a"), teacher("B", "x/b")], judge=teacher("J", "x/j")) == []


def test_teachers_that_share_a_base_are_no_warning_by_themselves():
    assert shared_bases([teacher("A", "x/a", "one"), teacher("B", "x/b", "one")]) == []


def test_a_declared_base_joins_roles_and_names_their_effects():
    (warning,) = shared_bases(
        [teacher("A", "x/a", "Qwen2.5"), teacher("B", "x/b")],
        judge=teacher("J", "x/j", "qwen2.5"),
        scorer=scorer("x/a"),  # another base than A declares: its own name
    )
    assert warning == (
        "Teacher A and judge J share the base model Qwen2.5: a judge may favour answers of its own family."
    )


def test_without_a_declared_base_models_are_compared():
    (warning,) = shared_bases([teacher("A", "x/a")], scorer=scorer("x/a"))
    assert warning.startswith("Teacher A and scorer x/a share the base model x/a: perplexity")


def test_worked_solutions_have_no_model():
    worked = load_teacher("worked", ROOT).teacher
    assert shared_bases([worked], judge=teacher("J", worked.model)) == []


@pytest.mark.parametrize("profile", ["paper", "single_gpu"])
def test_profiles_declare_what_they_share(profile):
    root = ROOT / "profiles" / profile
    run = load_run(root)
    teachers = {t: load_teacher(t, root).teacher for t in run.teacher_ids}
    students = [load_student(s, root).student for s in run.student_ids]
    judge = load_teacher(run.verify.judge.model, root).teacher
    found = shared_bases(teachers.values(), students, judge, run.perplexity)
    (warning,) = (text for text in found if "base model Qwen2.5" in text)
    assert all(
        effect in warning for effect in ("family more easily", "judge may favour", "one cut")
    )
    assert students[0].label in warning
    alone = {"paper": "AM-Thinking-v1", "single_gpu": "OpenThinker3-7B"}[profile]
    assert f"Teacher {alone}, student" in warning
    assert all(model.base_model for model in (*teachers.values(), *students, judge))
    assert read_yaml(root / "params.yaml")["perplexity"]["base_model"] == "Qwen2.5"
