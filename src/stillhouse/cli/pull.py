"""`stillhouse pull`: fetch a released data set and check it against its manifest."""

from pathlib import Path

import click


@click.command()
@click.argument("repo")
@click.option("--revision", required=True, help="Tag (v1.0.0) or commit of the release.")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to make; it must not exist yet.",
)
@click.option("--model", is_flag=True, help="REPO is a student and not a data set.")
def pull(repo: str, revision: str, target: Path, model: bool) -> None:
    """Download and check a released data set or student.

    REPO is its name on the Hub, namespace/name; every file is checked against the manifest.
    """
    from stillhouse.release.pull import pull as pull_release

    folder = pull_release(repo, revision, target, repo_type="model" if model else "dataset")
    click.echo(f"{folder}: {repo} at {revision}, every file as its manifest says")
