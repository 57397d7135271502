"""Finds the folder `.stillhouse` of the project, with what outlasts a run: the journal and converted weights.

`dvc exp run --temp` and queued experiments run in a copy of the project below `.dvc/tmp/exps`, which DVC deletes
afterwards. A git worktree is a copy too. Both use the folder of the project that they were made from, so that no answer
is paid twice or deleted.
"""

import re
from pathlib import Path

FOLDER = ".stillhouse"
_EXPERIMENT = re.compile(r"(?P<project>.*)/\.dvc/tmp/exps/[^/]+")


def kept_folder() -> Path:
    """Return `.stillhouse` of the project that the working directory is, or is a copy of.

    The path is relative in the project itself, and absolute in a copy.
    """
    here = Path.cwd()
    project = _main_checkout(_experiment_of(here))
    return Path(FOLDER) if project == here else project / FOLDER


def _experiment_of(folder: Path) -> Path:
    """Return the project of which a folder is an experiment's copy, or the folder itself."""
    found = _EXPERIMENT.match(str(folder))
    return Path(found["project"]) if found else folder


def _main_checkout(folder: Path) -> Path:
    """Return the same folder in the main checkout of the git repository, if `folder` is in another worktree of it."""
    for top in (folder, *folder.parents):
        link = top / ".git"
        if link.is_dir():
            return folder
        if link.is_file():
            break
    else:
        return folder
    git = (top / link.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
    common_file = git / "commondir"  # a submodule has none
    if not common_file.is_file():
        return folder
    common = (git / common_file.read_text(encoding="utf-8").strip()).resolve()
    if common.name != ".git":  # a bare repository has no main checkout
        return folder
    return common.parent / folder.relative_to(top)
