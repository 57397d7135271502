"""Checks before publishing: committed code, an up-to-date pipeline, data in the DVC remote, no lint error."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stillhouse.errors import StillhouseError
from stillhouse.package import changelog
from stillhouse.package.lint import lint
from stillhouse.params.run import Controls

PIPELINE = "dvc.yaml"
# Publishing writes these files. A second publication, or a run after an interruption, must not fail because of them.
OWN_FILES = ("publish/**/receipts/**", "publish/**/dvc.lock")
SHOWN = 5


class NotReadyError(StillhouseError):
    """The release cannot be published yet; the message says why and what to do."""


def clean_commit() -> str:
    """Return the git commit of the project, which must have no uncommitted changes.

    Raises:
        NotReadyError: files are changed or new, or the project is not a git clone.
    """
    excluded = [f":(exclude,glob){pattern}" for pattern in OWN_FILES]
    changed = _run("git", "status", "--porcelain", "--", ".", *excluded)
    if changed.strip():
        names = [line[3:] for line in changed.splitlines()]
        raise NotReadyError(
            f"the git tree is dirty ({_some(names)}); commit before publishing, so that the receipt names the code "
            "that made the release"
        )
    return _run("git", "rev-parse", "HEAD").strip()


def refuse_control(teacher: str, controls: Controls) -> None:
    """Check that a student is not that of an alias, which only tests the comparison.

    Raises:
        NotReadyError: it is.
    """
    if teacher in controls.alias:
        raise NotReadyError(
            f"{teacher}: controls.alias names this teacher; its students are not published"
        )


def refuse_stale_pipeline() -> None:
    """Check that `dvc repro` would run no stage.

    Raises:
        NotReadyError: a stage would run.
    """
    stale = json.loads(_run("dvc", "status", "--json", PIPELINE))
    if stale:
        raise NotReadyError(
            f"the pipeline is not up to date ({_some(stale)}); run `dvc repro` and commit dvc.lock before publishing"
        )


def refuse_missing_in_remote() -> None:
    """Check that the DVC remote has all data of the pipeline, so that `dvc pull` of the receipt's commit restores it.

    Raises:
        NotReadyError: data is missing there.
    """
    missing = json.loads(_run("dvc", "status", "--cloud", "--json", PIPELINE))
    if missing:
        raise NotReadyError(
            f"data is not in the DVC remote ({_some(missing)}); run `dvc push` before publishing"
        )


def refuse_lint_errors(folders: Iterable[Path]) -> None:
    """Lint the folders of a release.

    Raises:
        NotReadyError: there are errors; the message lists them.
    """
    errors = [
        f"  {folder}/{finding}"
        for folder in folders
        for finding in lint(folder)
        if finding.level == "error"
    ]
    if errors:
        lines = "\n".join(errors)
        raise NotReadyError(f"{len(errors)} lint errors, nothing was published:\n{lines}")


def refuse_unnamed_version(cards: Iterable[Path], version: str) -> None:
    """Check that the changelog on each card of a release has the version.

    Raises:
        NotReadyError: a card lacks it.
    """
    for card in cards:
        _, _, shown = card.read_text(encoding="utf-8").rpartition(changelog.HEADING)
        if not changelog.names(shown, version):
            raise NotReadyError(
                f"{card}: the changelog does not have version {version}; describe it in {changelog.CHANGELOG}, run "
                "`dvc repro`, commit and `dvc push` before publishing"
            )


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except OSError as error:
        raise NotReadyError(f"{command[0]} cannot be run ({error.strerror})") from None
    except subprocess.CalledProcessError as error:
        message = " ".join(str(error.stderr).split())[-300:]
        raise NotReadyError(
            f"{' '.join(command[:2])} failed ({message}); publish from a git clone with its DVC remote"
        ) from None
    return done.stdout
