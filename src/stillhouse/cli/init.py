"""`stillhouse init`: a new project from a profile."""

import shutil
import subprocess
from pathlib import Path

import click

from stillhouse.cli.output import require_project
from stillhouse.errors import StillhouseError

PROFILES = Path("profiles")
# What a run needs of the project. Tests, documentation, tools and measurements stay behind, and so do the results.
NEEDED = (
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "conf/accelerate",
    "conf/chat_templates",
    "data/samples/.gitkeep",
    "data/samples_untrained/.gitkeep",
    "dataset_cards",
    "dvc.yaml",
    "examples/slurm",
    "inputs",
    "metrics/benchmark/.gitkeep",
    "metrics/benchmark_untrained/.gitkeep",
    "plots/sft/.gitkeep",
    "plugins",
    "publish/dvc.yaml",
    "publish/students/dvc.yaml",
    "pyproject.toml",
    "requirements",
    "src",
    "stages",
    "tests/verify/golden",
)
SHOWN = 10


class NewProjectError(StillhouseError):
    """The project cannot be made; the message says why. Nothing was written."""


@click.command()
@click.option(
    "--profile", required=True, help="The profile: a folder below profiles.", metavar="NAME"
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(profile: str, folder: Path) -> None:
    """Make a project from a profile.

    DIR gets the files of the profile, and from this project whatever a run needs and git tracks: code, pipeline, locks,
    card templates. Nothing is overwritten: if a file exists in DIR, nothing is written.
    """
    require_project()
    files = _files(profile)
    existing = sorted(str(name) for name in files if (folder / name).exists())
    if existing:
        more = f" and {len(existing) - SHOWN} more" if len(existing) > SHOWN else ""
        raise NewProjectError(
            f"{folder}: {', '.join(existing[:SHOWN])}{more} exist there; nothing was written. Name another folder, or "
            "move them away"
        )
    try:
        for name, source in sorted(files.items()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    except OSError as error:
        raise NewProjectError(
            f"{error.filename or folder}: {error.strerror}; remove {folder} and try again"
        ) from None
    if not _git("-C", str(folder), "rev-parse", "--is-inside-work-tree"):
        _git("init", "--quiet", str(folder))
    click.echo(f"{folder}: {len(files)} files of the project and of profile {profile}")
    click.echo(f"Next: cd {folder} && make env && source .venv/bin/activate && stillhouse check")


def _files(profile: str) -> dict[Path, Path]:
    """Return where each file of the new project is copied from, by its path there."""
    root = PROFILES / profile
    known = sorted(path.name for path in PROFILES.glob("*/"))
    if profile not in known:
        raise NewProjectError(f"{root}: no such profile; there are: {', '.join(known) or 'none'}")
    listed = _git("ls-files", "-z", "--", *NEEDED)
    if not listed:
        raise NewProjectError(
            "git lists no files of this project; run the command in a git clone of it"
        )
    tracked = [Path(name) for name in listed.split("\0") if name and Path(name).is_file()]
    of_profile = (path for path in root.rglob("*") if path.is_file())
    return {path: path for path in tracked} | {path.relative_to(root): path for path in of_profile}


def _git(*arguments: str) -> str:
    """Return what git prints; empty if it fails.

    Raises:
        NewProjectError: there is no git.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise NewProjectError(f"git cannot be run ({error.strerror}); install it") from None
    return done.stdout if done.returncode == 0 else ""
