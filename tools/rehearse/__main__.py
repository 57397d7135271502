"""Rehearses a profile on this machine: `make rehearse-profile PROFILE=paper`, or `python -m tools.rehearse paper`."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from stillhouse.errors import StillhouseError
from stillhouse.params.load import load_teacher
from stillhouse.records import Example
from tools.rehearse.project import Copy, make_copy
from tools.rehearse.scripted import prove
from tools.rehearse.stages import Result, run_teacher, served
from tools.rehearse.student import train_once
from tools.rehearse.tables import tables

FAILED = 2


@click.command()
@click.argument("profile")
@click.option("--teacher", "only", multiple=True, help="Rehearse this teacher; repeat for more.")
def rehearse(profile: str, only: tuple[str, ...]) -> None:
    """Run the teachers of PROFILE on tiny models up to the filter, and two training steps of each student.

    Nothing is downloaded and no file of yours is changed: all happens in a copy in a temporary folder, which is kept
    only if a part fails.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it stops its servers
    folder = Path(tempfile.mkdtemp(prefix="rehearse_"))
    failed: list[str] | None = None
    try:
        failed = _rehearse(profile, folder / "project", only)
    except StillhouseError as error:
        click.echo(str(error), err=True)
        sys.exit(FAILED)
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)
    if failed:
        parts = f"{len(failed)} part{'s' * (len(failed) > 1)} failed"
        click.echo(f"\n{parts}; the copy is kept in {folder}:", err=True)
        for line in failed:
            click.echo(f"- {line}", err=True)
        sys.exit(FAILED)
    click.echo("every part passed")


def _rehearse(profile: str, folder: Path, only: tuple[str, ...]) -> list[str]:
    """Rehearse a profile in a folder, print what came of it, and return the parts that failed."""
    started = time.monotonic()
    copy = make_copy(profile, folder, only)
    click.echo("Replaced in the copy; all else is the profile's own:")
    for line in copy.replaced:
        click.echo(f"  {line}")
    failed = list(copy.refused)
    examples = _prove_formats(copy, failed)
    results = _run_teachers(copy, failed)
    _train_students(copy, examples, failed)
    if results:
        click.echo(f"\n{tables(copy, results)}")
    click.echo(f"\n{time.monotonic() - started:.0f} s in all")
    return failed


def _prove_formats(copy: Copy, failed: list[str]) -> list[Example]:
    """Return the examples of the scripted completions of one teacher, for the training."""
    examples: list[Example] = []
    for teacher in _teachers(copy):
        try:
            file = load_teacher(teacher, copy.folder)
            examples = prove(teacher, file, copy.teachers[teacher].family.written, copy.filter)
            click.echo(
                f"{teacher}: scripted completions are split and filtered as they were written"
            )
        except StillhouseError as error:
            failed.append(f"{teacher}: {error}")
    return examples


def _run_teachers(copy: Copy, failed: list[str]) -> dict[str, Result]:
    results: dict[str, Result] = {}
    try:
        click.echo(f"{copy.judge}: {_place(copy, copy.judge)}")
        with served(copy, copy.judge):
            for teacher in _teachers(copy):
                click.echo(f"{teacher}: {_place(copy, teacher)}, then the stages up to filter")
                try:
                    results[teacher] = run_teacher(copy, teacher)
                    click.echo(f"{teacher}: {results[teacher].seconds:.0f} s")
                except StillhouseError as error:
                    failed.append(f"{teacher}: {error}")
                    click.echo(f"{teacher}: failed")
    except StillhouseError as error:
        failed.append(f"{copy.judge}: {error}")
    return results


def _train_students(copy: Copy, examples: Sequence[Example], failed: list[str]) -> None:
    for student in copy.students:
        try:
            if not examples:
                raise StillhouseError(
                    "no teacher's scripted completions could be read, so nothing to train on"
                )
            metrics = train_once(copy, student, examples).metrics
            click.echo(
                f"{student}: template and examples pass the gates; {metrics['steps']} steps on {metrics['rows']} "
                f"examples in {metrics['sequences']} sequences, loss {metrics['final_loss']:.3f}"
            )
        except StillhouseError as error:
            failed.append(f"{student}: {error}")


def _teachers(copy: Copy) -> list[str]:
    return [teacher for teacher in copy.teachers if teacher != copy.judge]


def _place(copy: Copy, teacher: str) -> str:
    if copy.teachers[teacher].port is None:
        return "vLLM in the process of the stages, as the profile says"
    return "`stillhouse serve`, a minute or more"


if __name__ == "__main__":
    rehearse()
