"""`stillhouse release`: check, preview, compare and export packaged data sets."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stillhouse import layout
from stillhouse.cli.output import json_option, print_json, require_project

if TYPE_CHECKING:
    from stillhouse.package.diff import ConfigDiff, ReleaseDiff

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def release() -> None:
    """Check, compare and export packaged data sets."""


@release.command()
@click.argument("folder", type=_FOLDER)
@json_option("folder", "errors", "warnings", "findings")
def lint(folder: Path, json: bool) -> None:
    """List the errors and warnings of a release.

    FOLDER holds one repository, such as data/release/<teacher>. Exit code 1 if there are errors.
    """
    from stillhouse.package.lint import lint as findings_of

    findings = findings_of(folder)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    if json:
        document = {"folder": folder, "errors": errors, "warnings": warnings, "findings": findings}
        print_json(document)
    else:
        for finding in findings:
            click.echo(f"{finding.level}: {finding}")
        click.echo(f"{folder}: {errors} errors, {warnings} warnings")
    raise SystemExit(1 if errors else 0)


@release.command()
@json_option("refusals", "repositories")
def preview(json: bool) -> None:
    """Print what `publish` would change on the Hub.

    Nothing is changed. Prints each file that would be sent or deleted, and every reason for which `publish` would
    refuse.
    """
    from huggingface_hub import HfApi

    from stillhouse.hub import readiness
    from stillhouse.hub.publish import preview as preview_of
    from stillhouse.hub.transfer import size_text
    from stillhouse.package.facts import repositories
    from stillhouse.params.load import load_run

    require_project()
    run = load_run()
    released = run.controls.released
    repos = repositories(run.package, released(run.teacher_ids), released(run.compared_ids))
    folders = {repo.folder: layout.RELEASE / repo.folder for repo in repos}
    checks: list[Callable[[], object]] = [
        readiness.clean_commit,
        readiness.refuse_stale_pipeline,
        readiness.refuse_missing_in_remote,
        lambda: readiness.refuse_lint_errors(folders.values()),
    ]
    refusals = []
    for check in checks:
        try:
            check()
        except readiness.NotReadyError as error:
            refusals.append(str(error))
            if not json:
                click.echo(f"would be refused: {error}")
    documents = []
    for repo in repos:
        found = preview_of(folders[repo.folder], repo.repo_id, run.package.version, api=HfApi())
        documents.append(found)
        if json:
            continue
        size = size_text(sum(found.add.values()))
        click.echo(
            f"{repo.repo_id} ({'exists' if found.exists else 'new'}): {len(found.add)} files to send, {size}; "
            f"{len(found.delete)} to delete; {found.unchanged} unchanged; "
            + (f"tag {found.tag}" if found.tag else "its tag exists")
        )
        for name, length in found.add.items():
            click.echo(f"  + {name}  {size_text(length)}")
        for name in found.delete:
            click.echo(f"  - {name}")
    if json:
        print_json({"refusals": refusals, "repositories": documents})


@release.command()
@click.argument("before", type=_FOLDER)
@click.argument("after", type=_FOLDER)
@json_option("configs", "other_files", "upload_bytes", "size_bytes")
def diff(before: Path, after: Path, json: bool) -> None:
    """Print what changed between two releases.

    BEFORE and AFTER are folders of the same repository, packaged or pulled. Prints the rows added, removed and changed
    by column, and the bytes that an upload of AFTER sends to a Hub that has BEFORE.
    """
    from stillhouse.package.diff import diff as compare

    found = compare(before, after)
    if json:
        print_json(
            {
                "configs": found.configs,
                "other_files": found.files,
                "upload_bytes": found.upload,
                "size_bytes": found.size,
            }
        )
        return
    for line in _lines(found):
        click.echo(line)


@release.command("export-paper")
@click.argument("folder", type=_FOLDER)
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to create; it must not exist.",
)
@json_option("folder", "rows")
def export_paper(folder: Path, to: Path, json: bool) -> None:
    """Export to the paper's published layout.

    Writes one JSON Lines file per category of the training set in FOLDER, such as data/release/<teacher>.
    """
    from stillhouse.package.export import export_paper_layout

    counts = export_paper_layout(folder, to)
    if json:
        print_json({"folder": to, "rows": counts})
        return
    for category, rows in counts.items():
        click.echo(f"{to / category}.jsonl: {rows:,} rows")


def _lines(found: "ReleaseDiff") -> list[str]:
    lines = [line for config in found.configs for line in _config_lines(config)]
    lines.append(f"other files that differ: {', '.join(found.files) or 'none'}")
    share = found.upload / found.size if found.size else 0.0
    lines.append(
        f"expected upload: {found.upload / 1e6:,.1f} MB of {found.size / 1e6:,.1f} MB ({share:.1%})"
    )
    return lines


def _config_lines(config: "ConfigDiff") -> list[str]:
    head = f"{config.folder}: {config.before:,} -> {config.after:,} rows"
    if config.same:
        return [f"{head}, nothing changed"]
    lines = [
        f"{head}: {config.added:,} added, {config.removed:,} removed, {config.changed:,} changed"
    ]
    if columns := {name: rows for name, rows in config.columns.items() if rows}:
        lines.append(
            "  changed by column: "
            + ", ".join(f"{name} {rows:,}" for name, rows in columns.items())
        )
    for what, names in (
        ("new columns", config.new_columns),
        ("lost columns", config.lost_columns),
        *((f"{kind}, for example", ids) for kind, ids in config.ids.items()),
    ):
        if names:
            lines.append(f"  {what}: {', '.join(names)}")
    return lines
