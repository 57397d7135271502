"""Copies of a project use the journal and the cache of the project."""

import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.journal.journal import journal_folder
from stillhouse.kept import kept_folder
from stillhouse.models.weights import cache_folder


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of a git repository."""
    for variable in ("STILLHOUSE_JOURNAL", "STILLHOUSE_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "repository" / "distillation"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text("run: {}\n", encoding="utf-8")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", "-A")
    git(folder.parent, "commit", "--quiet", "-m", "Start")
    monkeypatch.chdir(folder)
    return folder


def test_the_project_itself_has_a_relative_folder(project: Path) -> None:
    assert journal_folder() == Path(".stillhouse/journal")
    assert cache_folder() == Path(".stillhouse/cache")


def test_an_experiment_in_a_copy_uses_the_folder_of_its_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "tmp1234" / "distillation"
    copy.mkdir(parents=True)
    git(copy.parent, "init", "--quiet")
    monkeypatch.chdir(copy)
    assert journal_folder() == project / ".stillhouse" / "journal"


ASK = """
import asyncio, sys
from stillhouse.journal.journal import Journal, journal_key
async def ask():
    with Journal.open() as journal:
        asked = journal.get(journal_key({"n": 1})) is None
        await journal.put(journal_key({"n": 1}), b"paid", purpose="teacher", model="m")
        print("asked", int(asked), file=open("asked.txt", "w"))
asyncio.run(ask())
"""


def test_what_an_experiment_in_a_copy_paid_is_found_in_the_project(project: Path) -> None:
    (project / "ask.py").write_text(ASK, encoding="utf-8")
    (project / "dvc.yaml").write_text(
        f"stages: {{ask: {{cmd: {sys.executable} ask.py, params: [run], outs: [asked.txt]}}}}\n",
        encoding="utf-8",
    )
    subprocess.run(["dvc", "init", "--subdir", "--quiet"], cwd=project, check=True)
    (project / ".gitignore").write_text("asked.txt\n.stillhouse\n", encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "A stage")
    subprocess.run(["dvc", "exp", "run", "--temp", "--quiet"], cwd=project, check=True)
    assert (project / ".stillhouse/journal/answers.sqlite").is_file()
    subprocess.run(["dvc", "repro", "--force", "--quiet"], cwd=project, check=True)
    assert (project / "asked.txt").read_text(encoding="utf-8") == "asked 0\n"


def test_a_worktree_uses_the_folder_of_the_main_checkout(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project, "worktree", "add", "--quiet", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other" / "distillation")
    assert kept_folder() == project / ".stillhouse"
    copy = Path.cwd() / ".dvc" / "tmp" / "exps" / "standalone"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert cache_folder() == project / ".stillhouse" / "cache"


def test_a_worktree_of_a_bare_repository_and_a_submodule_have_their_own(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, worktree = tmp_path / "bare.git", tmp_path / "worktree"
    git(tmp_path, "clone", "--quiet", "--bare", str(project.parent), str(bare))
    git(bare, "worktree", "add", "--quiet", str(worktree))
    monkeypatch.chdir(worktree / "distillation")
    assert kept_folder() == Path(".stillhouse")
    submodule = tmp_path / "submodule"
    (tmp_path / "modules" / "submodule").mkdir(parents=True)
    submodule.mkdir()
    (submodule / ".git").write_text("gitdir: ../modules/submodule\n", encoding="utf-8")
    monkeypatch.chdir(submodule)
    assert kept_folder() == Path(".stillhouse")


def test_the_environment_decides_where_it_is_set(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLHOUSE_JOURNAL", str(tmp_path / "elsewhere"))
    assert journal_folder() == tmp_path / "elsewhere"
