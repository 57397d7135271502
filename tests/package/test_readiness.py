"""What makes publishing refuse; the whole of it through DVC is in tests/hub."""

import subprocess
from pathlib import Path

import pytest

from stillhouse.hub.readiness import NotReadyError, clean_commit


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for kind in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{kind}_NAME", "test")
        monkeypatch.setenv(f"GIT_{kind}_EMAIL", "test@test")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


@pytest.mark.parametrize(
    "own",
    [
        "publish/receipts/tiny.json",
        "publish/dvc.lock",
        "publish/students/receipts/tiny/student.json",
        "publish/students/dvc.lock",
    ],
)
def test_what_publishing_wrote_before_is_no_change(clone: Path, own: str) -> None:
    (clone / own).parent.mkdir(parents=True)
    (clone / own).write_text("{}")
    assert len(clean_commit()) == 40


@pytest.mark.parametrize("changed", ["params.yaml", "new.txt", "publish/dvc.yaml"])
def test_any_other_change_is_refused(clone: Path, changed: str) -> None:
    (clone / changed).parent.mkdir(parents=True, exist_ok=True)
    (clone / changed).write_text("changed")
    with pytest.raises(NotReadyError, match="the git tree is dirty"):
        clean_commit()


def test_a_folder_without_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NotReadyError, match="publish from a git clone"):
        clean_commit()
