"""The hashes of this project's own stages, on a copy of its code."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.code_hash.digest import Hasher

ROOT = Path(__file__).resolve().parents[2]
TEACHER = "src/stillhouse/params/teacher.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("src", "stages", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    return root


@pytest.fixture(scope="module")
def unchanged(copy: Path) -> dict[str, str]:
    hasher = Hasher(copy)
    return {p.stem: hasher.digest(Path("stages", p.name)) for p in (copy / "stages").glob("*.py")}


@pytest.fixture
def changed(copy: Path, unchanged: dict[str, str]) -> Callable[..., set[str]]:
    """Return which of these stages have another hash after a text in a file is replaced; the file is put back."""

    def stages(path: Path, old: str, new: str, *names: str) -> set[str]:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        try:
            hasher = Hasher(copy)
            after = {name: hasher.digest(Path(f"stages/{name}.py")) for name in names}
        finally:
            path.write_text(text, encoding="utf-8")
        return {name for name in names if unchanged[name] != after[name]}

    return stages


def test_the_runtime_of_a_teacher_retrains_nobody(
    copy: Path, changed: Callable[..., set[str]]
) -> None:
    old, new = (
        "max_num_seqs: PositiveInt = 64\n    tensor",
        "max_num_seqs: PositiveInt = 65\n    tensor",
    )
    text = (copy / TEACHER).read_text(encoding="utf-8")
    _, teacher = text.split("class TeacherRuntime")
    edited = teacher.replace(old, new, 1)
    assert edited != teacher
    assert changed(copy / TEACHER, teacher, edited, "sft", "align", "filter", "generate") == {
        "generate"
    }


def test_another_version_of_what_verify_imports_runs_verify(
    copy: Path, changed: Callable[..., set[str]]
) -> None:
    lock = copy / "requirements/main.txt"
    assert changed(lock, "\nmpmath==", "\nmpmath==9", "verify", "sft", "align") == {"verify"}


def test_a_prompt_runs_verify(copy: Path, changed: Callable[..., set[str]]) -> None:
    (prompt,) = copy.rglob("math_v1.jinja")
    assert changed(prompt, "\n", "\n\n", "verify", "sft", "filter") == {"verify"}


def test_the_referee_runs_the_stages_that_run_programs(
    copy: Path, changed: Callable[..., set[str]]
) -> None:
    (program,) = copy.rglob("referee/compare.py")
    text = program.read_text(encoding="utf-8")
    stages = ("audit", "verify", "generate", "sft", "benchmark")
    assert changed(program, text, text + "\nADDED = 1\n", *stages) == {
        "audit",
        "verify",
        "generate",
    }


def test_what_runs_in_lightevals_environment_runs_benchmark(
    copy: Path, changed: Callable[..., set[str]]
) -> None:
    (program,) = copy.rglob("lighteval_model.py")
    text = "use_chat_template=True"
    assert changed(program, text, "use_chat_template=False", "benchmark", "sft") == {"benchmark"}


def test_the_templates_of_the_report_run_report(
    copy: Path, changed: Callable[..., set[str]]
) -> None:
    (style,) = copy.rglob("report.css")
    assert changed(style, "{", "{ ", "report", "model_card") == {"report"}
