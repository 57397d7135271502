"""`stillhouse queries preview`: the first rows of a source as they would be read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.output import json_option, print_json, require_project
from stillhouse.errors import StillhouseError

if TYPE_CHECKING:
    from stillhouse.queries.preview import SourcePreview

ROWS = 10


@click.command()
@click.argument("source_id", metavar="SOURCE")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=ROWS,
    show_default=True,
    help="How many rows to show.",
)
@json_option("source", "read", "queries", "rejected", "not_selected", "rows")
def preview(source_id: str, rows: int, json: bool) -> None:
    """Show the first rows of a source as they would be read, and what would be rejected.

    SOURCE is the id of an entry of queries.sources in params.yaml. Nothing of the pipeline needs to have run.
    """
    from stillhouse import plugins
    from stillhouse.params.load import load_run
    from stillhouse.queries.preview import preview as read

    require_project()
    run = load_run()
    plugins.load(run.plugins)
    source = next((s for s in run.queries.sources if s.id == source_id), None)
    if source is None:
        known = ", ".join(s.id for s in run.queries.sources) or "none"
        raise StillhouseError(f"no query source {source_id!r}; there are: {known}")
    found = read(source, run.run.seed, rows)
    if json:
        print_json(
            {
                "source": source_id,
                "read": found.read,
                "queries": found.queries,
                "rejected": found.rejected,
                "not_selected": found.not_selected,
                "rows": found.rows,
            }
        )
    else:
        click.echo("\n".join(_lines(source_id, found, run.queries.max_rejected_share)))


def _lines(source_id: str, found: "SourcePreview", limit: float) -> Iterator[str]:
    for row in found.rows:
        yield from _rejection(row) if row["kind"] == "rejection" else _query(row)
        yield ""
    rejected = found.rejected.total()
    yield f"{source_id}: {found.read:,} rows read, {found.queries:,} queries, {rejected:,} rejected"
    for reason, count in found.rejected.most_common():
        yield f"  rejected {reason}: {count:,}"
    for reason, count in found.not_selected.most_common():
        yield f"  not selected {reason}: {count:,}"
    if rejected and rejected / (found.queries + rejected) > limit:
        yield f"  The stage fails above a share of {limit:g} rejected rows (queries.max_rejected_share)."


def _rejection(row: dict[str, Any]) -> Iterator[str]:
    yield f"row {row['row']:,} rejected: {row['reason']}"
    yield f"  {_printable(row['evidence'] or '')}"


def _query(row: dict[str, Any]) -> Iterator[str]:
    turns = "" if row["turns"] == 1 else f", {row['turns']} turns"
    yield f"query {row['id'][:16]}: {row['category']}, {row['license']}{turns}"
    cut = row["prompt_characters"] - len(row["prompt"])
    more = f" [{cut:,} more characters]" if cut > 0 else ""
    yield from (f"  | {line}" for line in _printable(row["prompt"] + more).split("\n"))
    for reference in row["references"]:
        yield f"  reference: {_printable(reference)}"
    if row["tests"]:
        entry = f", entry point {row['entry_point']}" if row["entry_point"] else ""
        yield f"  tests: {row['tests']} ({row['language']}{entry}); the first:"
        yield from (f"    {line}" for line in _printable(row["first_test"]).split("\n"))
    if row["constraints"]:
        yield f"  constraints: {', '.join(row['constraints'])}"


def _printable(text: str) -> str:
    """Return the text with control characters escaped, so that a data set cannot control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
