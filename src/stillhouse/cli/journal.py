"""`stillhouse journal stats`: what the journal of model answers holds."""

import click


@click.group()
def journal() -> None:
    """Look into the store of model answers."""


@journal.command()
def stats() -> None:
    """Count the answers in the journal by purpose and model."""
    from stillhouse.models.journal import FOLDER_VARIABLE, Journal, JournalError, journal_folder

    folder = journal_folder()
    if not folder.is_dir():  # opening would create an empty one, perhaps in the wrong place
        raise JournalError(
            f"{folder}: no journal here yet; run the pipeline, or set {FOLDER_VARIABLE}"
        )
    with Journal.open(folder) as opened:
        found = opened.stats()
    click.echo(f"{found['path']}: {found['answers']} answers, {found['file_bytes']} bytes on disk")
    for group in found["groups"]:
        click.echo(
            f"  {group['purpose']:<8} {group['answers']:>9} answers {group['bytes']:>12} bytes  {group['model']}"
        )
