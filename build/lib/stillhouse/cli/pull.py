"""`stillhouse pull`: download a released data set and check it against its manifest."""

from pathlib import Path

import click

from stillhouse.cli.output import json_option, print_json


@click.command()
@click.argument("repo")
@click.option("--revision", required=True, help="Tag (v1.0.0) or commit of the release.")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to create; it must not exist.",
)
@click.option("--model", is_flag=True, help="REPO is a student, not a data set.")
@json_option("folder", "repo", "revision")
def pull(repo: str, revision: str, to: Path, model: bool, json: bool) -> None:
    """Download and check a released data set or student.

    REPO is its name on the Hub, namespace/name. Every file is checked against the manifest.
    """
    from stillhouse.hub.pull import pull as pull_release

    folder = pull_release(repo, revision, to, repo_type="model" if model else "dataset")
    if json:
        print_json({"folder": folder, "repo": repo, "revision": revision})
        return
    click.echo(f"{folder}: {repo} at {revision}, every file matches the manifest")
