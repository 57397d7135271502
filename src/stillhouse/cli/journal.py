"""`stillhouse journal`: look into the store of answers and verdicts, check it, rebuild it, and carry it elsewhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click


@click.group()
def journal() -> None:
    """Look after the store of model answers."""


@journal.command()
def stats() -> None:
    """Count the answers by purpose and model."""
    from stillhouse.models.journal import Journal

    with Journal.open(_existing_folder()) as opened:
        found = opened.stats()
    files = "1 file" if found["files"] == 1 else f"{found['files']} files"
    click.echo(
        f"{found['path']}: {found['answers']} answers in {files}, {found['file_bytes']} bytes on disk"
    )
    for group in found["groups"]:
        click.echo(
            f"  {group['purpose']:<8} {group['answers']:>9} answers {group['bytes']:>12} bytes  {group['model']}"
        )


@journal.command()
def verify() -> None:
    """Read every answer and report what is damaged."""
    from stillhouse.models.journal import JournalError
    from stillhouse.models.journal_upkeep import verify as verify_files

    broken = 0
    for report in verify_files(_existing_folder()):
        whole = not (report.damaged or report.faults)
        state = "ok" if whole else f"DAMAGED ({report.damaged} places)"
        click.echo(f"{report.path}: {report.answers} answers, {state}")
        for fault in report.faults[:3]:
            click.echo(f"  {' '.join(fault.split())[:160]}")
        broken += not whole
    if broken:
        raise JournalError(
            f"{broken} files are damaged: `stillhouse journal compact` keeps what can be read, and the next run asks "
            "for the rest again"
        )


@journal.command()
def compact() -> None:
    """Rebuild all files as one; nothing may run meanwhile."""
    from stillhouse.models.journal_upkeep import compact as compact_files

    done = compact_files(_existing_folder())
    click.echo(
        f"{done.files} files of {done.bytes_before} bytes -> 1 file of {done.bytes_after} bytes, {done.answers} answers"
        + (f"; {done.damaged} damaged places left out" if done.damaged else "")
    )


@journal.command()
@click.option("--verdicts", is_flag=True, required=True, help="Remove stored verdicts.")
@click.option(
    "--verifier", help="Only those to which this verifier has contributed, e.g. math_rule."
)
def drop(verdicts: bool, verifier: str | None) -> None:
    """Remove stored verdicts, so that answers are graded anew; answers of models stay.

    All files are rebuilt as one; nothing may run meanwhile.
    """
    from stillhouse.models.journal_upkeep import compact as compact_files
    from stillhouse.verify.stored import is_verdict

    done = compact_files(_existing_folder(), lambda row: not is_verdict(row, verifier))
    for name, count in sorted(done.dropped.items()):
        click.echo(f"  {name:<24} {count:>9} verdicts")
    click.echo(
        f"{done.dropped.total()} verdicts removed, {done.answers} rows kept; "
        f"{done.bytes_before} bytes -> {done.bytes_after} bytes"
        + (f"; {done.damaged} damaged places left out" if done.damaged else "")
    )


@journal.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=False))
def export_answers(file: TextIO) -> None:
    """Write all answers to FILE as JSON Lines (- for stdout)."""
    from stillhouse.models.journal_upkeep import export_lines

    count = 0
    for line in export_lines(_existing_folder()):
        file.write(line)
        count += 1
    click.echo(f"{count} answers exported", err=True)


@journal.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("r", encoding="utf-8"))
def import_answers(files: Iterable[TextIO]) -> None:
    """Add exported answers; what is there already stays."""
    from stillhouse.models.journal import Journal
    from stillhouse.models.journal_upkeep import import_lines

    with Journal.open() as opened:
        for file in files:
            new, known = import_lines(opened, file, file.name)
            click.echo(f"{file.name}: {new} answers added, {known} were there already")


def _existing_folder() -> Path:
    """Return the journal's folder; opening another would create an empty one, perhaps in the wrong place."""
    from stillhouse.models.journal import FOLDER_VARIABLE, JournalError, journal_folder

    folder = journal_folder()
    if not folder.is_dir():
        raise JournalError(
            f"{folder}: no journal here yet; run the pipeline, or set {FOLDER_VARIABLE}"
        )
    return folder
