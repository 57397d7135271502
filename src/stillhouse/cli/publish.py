"""`stillhouse publish`: run the stages that push releases to the Hub."""

import os
import subprocess
import sys
from pathlib import Path

import click

from stillhouse.errors import StillhouseError

DATA_SETS = "publish/dvc.yaml:publish"
STUDENTS_FILE = "publish/students/dvc.yaml"


class PublishError(StillhouseError):
    """DVC cannot run the stages, or one of them failed."""


@click.command()
@click.option("--students", is_flag=True, help="Publish the trained students, not the data sets.")
def publish(students: bool) -> None:
    """Publish the packaged data sets to the Hub.

    Runs only the publish stages, which push, read back, tag and write a receipt for each repository. `stillhouse
    release preview` shows what would change.
    """
    from stillhouse.cli.output import require_project

    require_project()
    targets = _student_stages() if students else [DATA_SETS]
    # `--single-item` skips the stage that hashes the code, and a stage refuses to run code that is not hashed.
    if _dvc("repro", "--quiet", "--single-item", "code").returncode:
        raise PublishError(
            "the code cannot be hashed: run `dvc repro -s code` and fix what it names"
        )
    if _dvc("repro", "--single-item", *targets).returncode:
        raise PublishError(
            "publishing failed: fix what the stage's message above names and run the command again; "
            "files that are on the Hub are not sent again"
        )


def _student_stages() -> list[str]:
    """Return the stages of all students but those of aliases, which are not released."""
    from stillhouse.params.files import PARAMS_FILE, parse, read_yaml
    from stillhouse.params.run import Controls

    listed = _dvc("stage", "list", "--name-only", STUDENTS_FILE, stdout=subprocess.PIPE)
    controls = parse(Controls, read_yaml(PARAMS_FILE).get("controls"), f"{PARAMS_FILE}: controls")
    stages = [
        name
        for name in listed.stdout.split()
        if name.partition("@")[2].partition("-")[0] not in controls.alias
    ]
    if listed.returncode or not stages:
        raise PublishError(
            f"{STUDENTS_FILE}: no stage to run; student_ids and compared_ids of params.yaml name the students"
        )
    return stages


def _dvc(*arguments: str, stdout: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run DVC of this environment; the stages find its `python` first."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, env={**os.environ, "PATH": path}, text=True, stdout=stdout, check=False
    )
