"""Every profile must be complete, sound, and say of the paper what the paper says."""

import shutil
from pathlib import Path

import pytest

from stillhouse.cli.check import survey
from stillhouse.params.load import load_run, load_student, load_teacher
from stillhouse.params.queries import HubSource, Source
from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.adapters.base import NotSelected
from stillhouse.report.published import load_study
from stillhouse.sft.gates import check_template

PROFILES = ["paper", "single_gpu"]
TEMPLATES = sorted(
    path
    for folder in (Path("conf"), Path("profiles"), Path("examples"))
    for path in folder.glob("**/chat_templates/*.jinja")
)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_sound_and_says_what_to_fill_in(name: str) -> None:
    found = survey(Path("profiles") / name, Path())
    assert found.faults == []
    assert found.warnings == []
    assert found.placeholders
    assert all(place.what_to_put != "your own value" for place in found.placeholders)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_applied_by_copying_has_all_it_names(name: str, tmp_path: Path) -> None:
    for shared in ("conf/accelerate", "conf/chat_templates"):  # `stillhouse init` copies them too
        shutil.copytree(shared, tmp_path / shared)
    shutil.copytree(Path("profiles") / name, tmp_path, dirs_exist_ok=True)
    assert survey(tmp_path, tmp_path).faults == []


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_no_file_that_its_run_does_not_use(name: str) -> None:
    root = Path("profiles") / name
    used = {path.relative_to(root) for path in survey(root, Path()).files}
    assert {path.relative_to(root) for path in root.rglob("*.yaml")} == used


def test_the_committed_run_is_sound_and_complete() -> None:
    found = survey(Path(), Path())
    assert found.faults == []
    assert found.placeholders == []


def origin_category(source: Source) -> str | None:
    """Return the category of a source, which may be its adapter's."""
    if isinstance(source, HubSource) and source.adapter is not None:
        return source.category or ADAPTERS[source.adapter].category
    return source.category


def test_the_paper_profile_is_the_paper() -> None:
    root = Path("profiles/paper")
    run = load_run(root)
    assert run.verify.threshold == 0.9
    assert (run.filter.ngram.n, run.filter.ngram.max_count) == (20, 20)
    assert {t.task: t.samples for t in run.benchmark.tasks} == {
        "aime24": 64,
        "aime25": 64,
        "math_500": 4,
        "lcb:codegeneration_v5": 16,
    }
    assert [t.asks_by_item for t in run.benchmark.tasks] == [True, True, True, False]
    assert run.benchmark.score == "lenient"
    assert run.report.published == "arxiv_2505_14464"
    study = load_study(run.report.published)
    teachers = {i: load_teacher(i, root).teacher for i in run.teacher_ids}
    assert sorted(study.teachers_of(teachers).values()) == sorted(run.teacher_ids)
    assert len(study.benchmarks_of(run.benchmark.tasks)) == len(run.benchmark.tasks)
    sampling = run.benchmark.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.6, 0.95, 49152)
    assert {load_teacher(t, root).teacher.model for t in run.teacher_ids} == {
        "a-m-team/AM-Thinking-v1",
        "Qwen/Qwen3-235B-A22B",
        "deepseek-ai/DeepSeek-R1",
    }
    assert (run.verify.judge.math, run.verify.judge.science) == ("any_no", "any_no")
    assert load_teacher(run.verify.judge.model, root).teacher.model == "Qwen/Qwen2.5-7B-Instruct"
    student = load_student(run.student_ids[0], root).student
    assert student.model == "Qwen/Qwen2.5-32B"
    recipe = student.recipe
    assert (recipe.learning_rate, recipe.max_length, recipe.packing) == (8e-5, 32768, True)
    assert (recipe.global_batch_size, recipe.num_train_epochs, recipe.lr_scheduler_type) == (
        64,
        2,
        "cosine",
    )
    assert recipe.warmup_ratio == 0.05
    assert {origin_category(source) for source in run.queries.sources} == {
        "math",
        "code",
        "science",
        "if",
        "multiturn",
        "other",
    }


def test_the_paper_profile_leaves_the_year_of_its_benchmark_out() -> None:
    sources = {source.id: source for source in load_run(Path("profiles/paper")).queries.sources}
    aime = sources["aime_1983_2023"]
    assert isinstance(aime, HubSource)
    assert aime.adapter is not None
    adapt = ADAPTERS[aime.adapter].adapt
    row = {"Question": "Find the least number.", "Answer": "12"}
    assert adapt(row | {"Year": 2023}) == {"prompt": row["Question"], "ground_truth": "12"}
    assert adapt(row | {"Year": 2024}) == NotSelected("benchmark_year")


def test_every_source_of_a_profile_has_an_adapter() -> None:
    for name in PROFILES:
        for source in load_run(Path("profiles") / name).queries.sources:
            assert isinstance(source, HubSource)
            assert source.adapter in ADAPTERS


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_every_chat_template_passes_the_gate_before_training(path: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    from stillhouse.sft.stand_in import stand_in_tokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = path.read_text(encoding="utf-8")
    assert check_template(tokenizer, str(path)).stop_token == "<|im_end|>"
    stand_in = stand_in_tokenizer(tokenizer.chat_template)
    assert check_template(stand_in, str(path)).stop_token == "<|im_end|>"


@pytest.mark.parametrize("name", PROFILES)
def test_the_accelerate_configuration_of_a_profile_is_there(name: str) -> None:
    students = load_run(Path("profiles") / name).student_ids
    files = [load_student(i, Path("profiles") / name).runtime.accelerate_config for i in students]
    assert all(file is None or Path(file).is_file() for file in files)
