"""The rehearsal of a profile: what it knows of models, what it proves with scripted completions, and how it runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.generate.formats import FormatError
from stillhouse.params.load import load_run, load_student, load_teacher
from stillhouse.params.teacher import TeacherFile
from stillhouse.records import CATEGORIES
from tools.rehearse.families import UnknownFamilyError, family_of
from tools.rehearse.scripted import EACH, ScriptedError, prove

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ("paper", "single_gpu")
TEACHERS = [
    (profile, teacher)
    for profile in PROFILES
    for teacher in load_run(Path("profiles") / profile).teacher_ids
]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_model_of_a_profile_has_a_family(profile: str) -> None:
    root = Path("profiles") / profile
    run = load_run(root)
    names = [
        load_teacher(t, root).teacher.model for t in (*run.teacher_ids, run.verify.judge.model)
    ]
    names += [load_student(student, root).student.model for student in run.student_ids]
    names.append(run.perplexity.model)
    if run.verify.reward is not None:
        names.append(run.verify.reward.model)
    assert all(family_of(name).architecture for name in names)


@pytest.mark.parametrize(
    ("model", "architecture"),
    [
        ("Qwen/Qwen3-235B-A22B", "qwen3_moe"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("deepseek-ai/DeepSeek-R1", "deepseek_v3"),
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "qwen3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama"),
    ],
)
def test_a_name_says_the_architecture(model: str, architecture: str) -> None:
    assert family_of(model).architecture == architecture


def test_an_unknown_model_is_named_with_the_remedy() -> None:
    with pytest.raises(UnknownFamilyError, match=r"acme/one: .* add its name to FAMILIES"):
        family_of("acme/one")


def changed(file: TeacherFile, reasoning: str) -> TeacherFile:
    return file.model_copy(
        update={"teacher": file.teacher.model_copy(update={"reasoning": reasoning})}
    )


@pytest.mark.parametrize(("profile", "teacher"), TEACHERS)
def test_scripted_completions_of_a_profile_give_examples(profile: str, teacher: str) -> None:
    root = Path("profiles") / profile
    file = load_teacher(teacher, root)
    written = family_of(file.teacher.model).written
    examples = prove(teacher, file, written, load_run(root).filter)
    assert len(examples) == EACH * len(CATEGORIES)
    assert {example.think for example in examples} == {f"I know {n}." for n in range(EACH)}


def test_a_teacher_with_another_format_than_its_family_is_told_which_one_fits() -> None:
    root = Path("profiles/paper")
    file = changed(load_teacher("am_thinking_v1", root), "none")
    written = family_of(file.teacher.model).written
    with pytest.raises((FormatError, ScriptedError), match="reasoning"):
        prove("am_thinking_v1", file, written, load_run(root).filter)


def test_a_filter_that_drops_every_answer_is_named() -> None:
    root = Path("profiles/paper")
    file = changed(load_teacher("qwen3_235b_a22b", root), "none")
    with pytest.raises(ScriptedError, match=r"dropped by the filter: .*look at `filter`"):
        prove("plain", file, "{answer}", load_run(root).filter)


@pytest.mark.usefixtures("full_environment")
def test_the_copy_keeps_what_decides_and_replaces_what_cannot_run_here(tmp_path: Path) -> None:
    from tools.rehearse.project import MOST_TOKENS, make_copy

    own = load_teacher("am_thinking_v1", Path("profiles/paper"))
    copy = make_copy("paper", tmp_path / "copy", ("am_thinking_v1",))
    found = load_teacher("am_thinking_v1", copy.folder)
    assert copy.refused == []
    assert load_run(copy.folder).teacher_ids == ["am_thinking_v1"]
    replaced = {"model": found.teacher.model, "revision": found.teacher.revision}
    sampling = own.teacher.sampling.model_copy(update={"max_tokens": MOST_TOKENS})
    assert found.teacher == own.teacher.model_copy(update={**replaced, "sampling": sampling})
    endpoints = {"endpoints": found.runtime.endpoints}
    assert found.runtime == own.runtime.model_copy(update=endpoints)
    assert found.runtime.endpoints[0].startswith("http://127.0.0.1:")
    run, of_profile = load_run(copy.folder), load_run(Path("profiles/paper"))
    assert {source.category for source in run.queries.sources} == set(CATEGORIES)
    assert run.queries.clean == of_profile.queries.clean
    assert (run.generate, run.filter) == (of_profile.generate, of_profile.filter)
    assert run.verify.judge == of_profile.verify.judge
    student = load_student("qwen2_5_32b", copy.folder).student
    assert student.recipe.packing
    assert student.recipe.global_batch_size == 64
    assert (copy.folder / student.chat_template).is_file()


@pytest.mark.usefixtures("full_environment")
def test_a_template_that_does_not_render_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stillhouse.cli import init
    from tools.rehearse.project import make_copy

    profile = tmp_path / "profiles/broken"
    shutil.copytree("profiles/single_gpu", profile)
    file = profile / "conf/teachers/qwen3_8b.yaml"
    line = "  chat_template: conf/chat_templates/mine.jinja\n"
    file.write_text(file.read_text().replace("  dtype:", f"{line}  dtype:"))
    (profile / "conf/chat_templates").mkdir(exist_ok=True)
    (profile / "conf/chat_templates/mine.jinja").write_text("{{ messages[0].no_such_key.content }}")
    monkeypatch.setattr(init, "PROFILES", tmp_path / "profiles")
    copy = make_copy("broken", tmp_path / "copy", ("qwen3_8b",))
    assert "qwen3_8b" not in copy.teachers
    assert [line[:57] for line in copy.refused] == [
        "teacher qwen3_8b: its chat template does not render a que"
    ]


@pytest.mark.slow
def test_one_teacher_of_a_profile_is_rehearsed(full_environment: None, sandboxed: None) -> None:
    """Teacher and judge in the process of the stage, then two steps of the student, all on tiny models."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.rehearse", "single_gpu", "--teacher", "qwen3_8b"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "qwen2_5_1_5b: template and examples pass the gates; 2 steps on 72 examples" in done.stdout
    )
    cells = next(line for line in done.stdout.splitlines() if line.startswith("qwen3_8b  ")).split()
    asked, finished, cut, unanswered, both = map(int, cells[2:7])
    assert asked == finished + cut >= 60
    assert unanswered == 0
    # The marks came through vLLM's tokenizer and the split. An answer may be cut behind its last word.
    assert asked >= both >= finished
