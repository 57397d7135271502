"""The recorded hashes: the folder that stage `code` writes, and the check that a stage makes before it runs."""

import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from stillhouse.code_hash.source import PLUGINS, SOURCE, CodeHashError

FOLDER = Path("code")
SUFFIX = ".sha256"
INPUTS = "inputs.json"
STAGES = Path("stages")
PLUGIN_HASH = "plugins"  # of what params.yaml lists; the stages that load plugins depend on it too
OWN_STAGE = "code_hash"  # the script that records needs no record
REMEDY = "run `dvc repro -s code`, then this stage again"


def scripts(root: Path) -> list[str]:
    """Return the names of the stage scripts that have a hash."""
    return sorted(p.stem for p in (root / STAGES).glob("*.py") if p.stem != OWN_STAGE)


def record(root: Path) -> None:
    """Write one file per stage script and one for the plugins into code/, and the hashes of all files read for them.

    Raises:
        CodeHashError: the code of a stage cannot be followed.
    """
    from stillhouse.code_hash.digest import Hasher

    hasher = Hasher(root)
    inputs = _inputs(root)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    names = scripts(root)
    for name in names:
        digest = hasher.digest(STAGES / f"{name}.py")
        (folder / f"{name}{SUFFIX}").write_text(digest + "\n", encoding="utf-8")
    (folder / f"{PLUGIN_HASH}{SUFFIX}").write_text(hasher.plugins(_plugins(root)) + "\n", "utf-8")
    for old in folder.glob(f"*{SUFFIX}"):
        if old.stem not in [*names, PLUGIN_HASH]:
            old.unlink()
    text = json.dumps(inputs, indent=0, sort_keys=True)
    (folder / INPUTS).write_text(text + "\n", encoding="utf-8")


def refuse_stale(root: Path, script: str) -> None:
    """Refuse to run a stage whose code is not the code that `code` has recorded.

    Files that have not changed since then are not parsed, so this takes a few hundredths of a second.

    Raises:
        CodeHashError: there is no record, or it is of other code.
    """
    path = root / FOLDER / f"{script}{SUFFIX}"
    plugins = root / FOLDER / f"{PLUGIN_HASH}{SUFFIX}"
    try:
        recorded = path.read_text(encoding="utf-8").strip()
        recorded_plugins = plugins.read_text(encoding="utf-8").strip()
        inputs = json.loads((root / FOLDER / INPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CodeHashError(f"{path}: no hash of this stage's code; {REMEDY}") from None
    if inputs == _inputs(root):
        return
    from stillhouse.code_hash.digest import Hasher

    hasher = Hasher(root)
    if hasher.digest(STAGES / f"{script}.py") != recorded:
        raise CodeHashError(f"{path}: the code of this stage has changed since; {REMEDY}")
    if hasher.plugins(_plugins(root)) != recorded_plugins:
        raise CodeHashError(f"{plugins}: the code of the plugins has changed since; {REMEDY}")


def refuse_stale_stage() -> None:
    """Refuse to run the stage script that DVC has started, if its code is not the recorded code."""
    script = Path(sys.argv[0])
    is_stage = "DVC_STAGE" in os.environ and script.parent.name == str(STAGES)
    if is_stage and script.stem != OWN_STAGE:
        refuse_stale(Path(), script.stem)


def _plugins(root: Path) -> list[str]:
    from ruamel.yaml import YAML

    path = root / "params.yaml"
    content = (
        YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        if path.is_file()
        else None
    )
    return list((content or {}).get("plugins") or [])


def _inputs(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(_files(root))
    }


def _files(root: Path) -> Iterator[Path]:
    for folder in (SOURCE, STAGES, PLUGINS, Path("requirements")):
        for path in (root / folder).rglob("*"):
            parts = path.relative_to(root).parts
            if path.is_file() and not any(
                p == "__pycache__" or p.endswith((".egg-info", ".pyc", ".partial")) for p in parts
            ):
                yield path
