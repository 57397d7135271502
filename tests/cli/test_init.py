import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.cli.check import survey

PROFILES = ["paper", "single_gpu"]
ROOT = Path(__file__).resolve().parents[2]


def made(profile: str, folder: Path) -> Path:
    result = CliRunner().invoke(main, ["init", "--profile", profile, str(folder)])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.mark.parametrize("profile", PROFILES)
def test_a_project_has_what_its_profile_and_pipeline_name(profile: str, tmp_path: Path) -> None:
    folder = made(profile, tmp_path / "own/project")
    assert survey(folder, folder).faults == []
    for path in (ROOT / "profiles" / profile).rglob("*.*"):
        if path.is_file():
            assert (
                folder / path.relative_to(ROOT / "profiles" / profile)
            ).read_bytes() == path.read_bytes()
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values()
    made_here = {
        str(out).split("$")[0].rstrip("/") for stage in stages for out in stage.get("outs", [])
    }
    for dep in (str(dep) for stage in stages for dep in stage.get("deps", [])):
        if (
            "$" not in dep
            and not dep.startswith(("code/", "data/", "metrics/", "models"))
            and dep not in made_here
        ):
            assert (folder / dep).exists(), dep
    assert not (folder / "dvc.lock").exists()
    assert not (folder / "profiles").exists()


@pytest.mark.slow
def test_the_code_of_a_new_project_is_whole(tmp_path: Path) -> None:
    folder = made("single_gpu", tmp_path / "project")
    binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": binaries}

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc("repro", "code")  # which refuses code that cannot be found
    assert (folder / "code/generate.sha256").is_file()
    assert "generate@qwen3_8b" in dvc("stage", "list", "--name-only")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/runtime.yaml").write_text("mine")
    (tmp_path / "README.md").write_text("mine too")
    result = CliRunner().invoke(main, ["init", "--profile", "paper", str(tmp_path)])
    assert result.exit_code == 2
    assert "README.md, conf/runtime.yaml exist there; nothing was written" in result.stderr
    assert (tmp_path / "README.md").read_text() == "mine too"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "conf"]


def test_the_project_itself_is_not_overwritten() -> None:
    result = CliRunner().invoke(main, ["init", "--profile", "paper", "."])
    assert result.exit_code == 2
    assert "and" in result.stderr
    assert "more exist there" in result.stderr


def test_a_folder_with_other_files_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    made("paper", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["huge", "../profiles/paper", ""])
def test_an_unknown_profile_lists_those_there_are(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", "--profile", name, str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "no such profile; there are: paper, single_gpu" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_project_without_git_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles/own").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["init", "--profile", "own", "new"])
    assert result.exit_code == 2
    assert "run the command in a git clone" in result.stderr
