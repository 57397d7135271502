"""`stillhouse journal`: count, check, rebuild, export and import the stored answers and verdicts."""

from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click

from stillhouse.cli.output import json_option, print_json

COMPACTED = ("files", "bytes_before", "answers", "bytes_after", "damaged", "dropped")


@click.group()
def journal() -> None:
    """Maintain the journal, the store of model answers."""


@journal.command()
@json_option("path", "files", "answers", "bytes", "file_bytes", "groups")
def stats(json: bool) -> None:
    """Count the answers by purpose and model."""
    from stillhouse.journal.journal import Journal

    with Journal.open(_existing_folder()) as opened:
        found = opened.stats()
    if json:
        print_json(found)
        return
    files = "1 file" if found["files"] == 1 else f"{found['files']} files"
    click.echo(
        f"{found['path']}: {found['answers']} answers in {files}, {found['file_bytes']} bytes on disk"
    )
    for group in found["groups"]:
        click.echo(
            f"  {group['purpose']:<8} {group['answers']:>9} answers {group['bytes']:>12} bytes  {group['model']}"
        )


@journal.command()
@json_option("files", "damaged_files")
def verify(json: bool) -> None:
    """Read every answer and report the damaged ones.

    Exit code 2 if a file is damaged.
    """
    from stillhouse.journal.journal import JournalError
    from stillhouse.journal.upkeep import verify as verify_files

    broken = 0
    documents = []
    for report in verify_files(_existing_folder()):
        whole = not (report.damaged or report.faults)
        broken += not whole
        documents.append(report._asdict())
        if json:
            continue
        state = "ok" if whole else f"DAMAGED ({report.damaged} places)"
        click.echo(f"{report.path}: {report.answers} answers, {state}")
        for fault in report.faults[:3]:
            click.echo(f"  {' '.join(fault.split())[:160]}")
    if json:
        print_json({"files": documents, "damaged_files": broken})
    if broken:
        raise JournalError(
            f"{broken} files are damaged: run `stillhouse journal compact`, which keeps the readable answers; the next "
            "run asks for the others again"
        )


@journal.command()
@json_option(*COMPACTED)
def compact(json: bool) -> None:
    """Rebuild all files as one. No stage may be running."""
    from stillhouse.journal.upkeep import compact as compact_files

    done = compact_files(_existing_folder())
    if json:
        print_json(done._asdict())
        return
    click.echo(
        f"{done.files} files of {done.bytes_before} bytes -> 1 file of {done.bytes_after} bytes, {done.answers} answers"
        + (f"; {done.damaged} damaged places left out" if done.damaged else "")
    )


@journal.command()
@click.option("--verdicts", is_flag=True, required=True, help="Remove stored verdicts.")
@click.option(
    "--verifier", help="Only verdicts to which this verifier contributed, e.g. math_rule."
)
@json_option(*COMPACTED)
def drop(verdicts: bool, verifier: str | None, json: bool) -> None:
    """Remove stored verdicts, so that answers are graded again.

    Answers of models are kept. All files are rebuilt as one; no stage may be running.
    """
    from stillhouse.journal.upkeep import compact as compact_files
    from stillhouse.verify.stored import is_verdict

    done = compact_files(_existing_folder(), lambda row: not is_verdict(row, verifier))
    if json:
        print_json(done._asdict())
        return
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
    from stillhouse.journal.upkeep import export_lines

    count = 0
    for line in export_lines(_existing_folder()):
        file.write(line)
        count += 1
    click.echo(f"{count} answers exported", err=True)


@journal.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("r", encoding="utf-8"))
@json_option("files")
def import_answers(files: Iterable[TextIO], json: bool) -> None:
    """Add exported answers. Answers that are already there are kept."""
    from stillhouse.journal.journal import Journal
    from stillhouse.journal.upkeep import import_lines

    documents = []
    with Journal.open() as opened:
        for file in files:
            new, known = import_lines(opened, file, file.name)
            documents.append({"file": file.name, "added": new, "already_there": known})
            if not json:
                click.echo(f"{file.name}: {new} answers added, {known} were already there")
    if json:
        print_json({"files": documents})


def _existing_folder() -> Path:
    """Return the journal's folder. It must exist: opening a journal would create an empty one in the wrong place."""
    from stillhouse.journal.journal import FOLDER_VARIABLE, JournalError, journal_folder

    folder = journal_folder()
    if not folder.is_dir():
        raise JournalError(
            f"{folder}: no journal here yet; run the pipeline, or set {FOLDER_VARIABLE}"
        )
    return folder
