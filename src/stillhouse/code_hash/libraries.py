"""The locked versions of the libraries that code imports.

requirements/imports.toml says which locked packages decide what an imported module does. Both locks of the main
environment count, so that a CPU host and a GPU host compute one hash; the build of a version (`+cpu`) does not.
"""

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from stillhouse.code_hash.source import CodeHashError

REQUIREMENTS = Path("requirements")
IMPORTS = REQUIREMENTS / "imports.toml"
MAIN_LOCKS = ("main.txt", "gpu.txt")
LIGHTEVAL_LOCK = "eval.txt"
DATA_LOCK = "payload.txt"


class LockedVersions:
    """The locked versions of a project's requirements folder."""

    def __init__(self, root: Path) -> None:
        self._imports: dict[str, list[str]] = tomllib.loads(
            (root / IMPORTS).read_text(encoding="utf-8")
        )
        self._main = [_versions(root / REQUIREMENTS / name) for name in MAIN_LOCKS]
        self._lighteval = _versions(root / REQUIREMENTS / LIGHTEVAL_LOCK)
        self._data = _versions(root / REQUIREMENTS / DATA_LOCK)

    def versions(self, libraries: Iterable[str], installed_data: bool) -> list[str]:
        """Return `name==version` of all that decides what these modules do, sorted.

        Args:
            libraries: dotted names of imported modules of other projects.
            installed_data: add the packages that are installed for their data.

        Raises:
            CodeHashError: a module is not in imports.toml, or a package there is in no lock.
        """
        found = set(self._data.items()) if installed_data else set()
        for name in {package for library in libraries for package in self._packages(library)}:
            locked = {(name, lock[name]) for lock in self._main if name in lock}
            locked = locked or {(name, v) for n, v in self._lighteval.items() if n == name}
            if not locked:
                raise CodeHashError(f"{IMPORTS}: {name} is in no lock of {REQUIREMENTS}/")
            found |= locked
        return sorted(f"{name}=={version}" for name, version in found)

    def _packages(self, library: str) -> list[str]:
        parts = library.split(".")
        if parts[0] in sys.stdlib_module_names:
            return []
        for length in range(len(parts), 0, -1):
            if (packages := self._imports.get(".".join(parts[:length]))) is not None:
                return packages
        raise CodeHashError(
            f"{IMPORTS}: no line for the import {parts[0]!r}; add it with the locked packages that decide what it does"
        )


def _versions(path: Path) -> dict[str, str]:
    """Return the versions of a lock by package, without the build of a version."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equal, version = line.partition("#")[0].partition(";")[0].partition("==")
        if equal:
            found[name.partition("[")[0].strip().lower()] = version.partition("+")[0].strip()
    return found
