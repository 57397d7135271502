"""`stillhouse publish`, with DVC itself and stages that write a file instead of publishing."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stillhouse.cli import main

STAGES = """
stages:
  code:
    cmd: echo hashed > code
    outs: [code]
  prepare:
    cmd: echo prepared > prepared
    outs: [prepared]
"""
PUBLISH = """
stages:
  publish:
    wdir: ..
    cmd: {cmd}
    deps: [code]
    outs: [receipts]
"""
STUDENTS = """
stages:
  publish_student:
    matrix: {teacher: [one, two, again]}
    wdir: ../..
    cmd: echo ${item.teacher} > student_${item.teacher}
    outs: ["student_${item.teacher}"]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "publish/students").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("controls: {alias: [again]}\n")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "publish/dvc.yaml").write_text(PUBLISH.format(cmd="echo published > receipts"))
    (tmp_path / "publish/students/dvc.yaml").write_text(STUDENTS)
    command = [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def publish(*options: str) -> Result:
    return CliRunner().invoke(main, ["publish", *options])


def test_the_publish_stage_runs_after_the_hash_of_the_code_and_no_other(project: Path) -> None:
    assert publish().exit_code == 0
    assert (project / "receipts").read_text() == "published\n"
    assert not (project / "prepared").exists()
    assert not (project / "student_one").exists()


def test_students_but_those_of_aliases_are_published_by_the_option(project: Path) -> None:
    assert publish("--students").exit_code == 0
    assert [(project / f"student_{name}").is_file() for name in ("one", "two")] == [True, True]
    assert not (project / "student_again").exists()
    assert not (project / "receipts").exists()


def test_the_stages_use_the_python_of_the_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    cmd = 'python -c \'import sys; open("receipts", "w").write(sys.prefix)\''
    (project / "publish/dvc.yaml").write_text(PUBLISH.format(cmd=cmd))
    assert publish().exit_code == 0
    assert (project / "receipts").read_text() == sys.prefix


def test_a_failed_stage_is_exit_code_2_and_what_to_do(project: Path) -> None:
    (project / "publish/dvc.yaml").write_text(PUBLISH.format(cmd="exit 3"))
    done = publish()
    assert done.exit_code == 2
    assert done.stderr.startswith("publishing failed: fix what")


def test_code_that_cannot_be_hashed_publishes_nothing(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGES.replace("echo hashed > code", "exit 3"))
    done = publish()
    assert done.exit_code == 2
    assert "the code cannot be hashed" in done.stderr
    assert not (project / "receipts").exists()


def test_outside_a_project_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = publish()
    assert done.exit_code == 2
    assert done.stderr == f"{tmp_path}: no params.yaml here; run inside the project folder\n"
    assert list(tmp_path.iterdir()) == []
