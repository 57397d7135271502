"""One hash of a closure, in which no place of a file counts.

A definition is compared by its meaning and by what each of its names refers to, which is compared in the same way;
so two definitions that trade places or names are told apart, and one that moves to another file is not.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stillhouse import plugins
from stillhouse.code_hash.closure import Closure, Target, closure_of
from stillhouse.code_hash.libraries import LockedVersions
from stillhouse.code_hash.meaning import meaning
from stillhouse.code_hash.references import Reader
from stillhouse.code_hash.source import PLUGINS, CodeHashError, Project, Statement

MAX_ROUNDS = 50


class Hasher:
    """Hashes the code of scripts of one project; what they share is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._reader = Reader(Project(root))
        self._locks = LockedVersions(root)
        self._meanings: dict[Statement, str] = {}

    def digest(self, script: Path) -> str:
        """Return the hash of all that a script can run."""
        return _hash(
            f"{kind} {name} {value}"
            for kind, name, value in self._entries(self._closure(script), False)
        )

    def plugins(self, names: Sequence[str]) -> str:
        """Return the hash of all that the plugins of a run can do, with their names.

        Args:
            names: `plugins` of params.yaml.

        Raises:
            CodeHashError: a module of the project is not in the folder plugins/.
        """
        files = [path.relative_to(self._root) for path in plugins.files(names, self._root)]
        if outside := [path for path in files if path.parts[0] != PLUGINS.name]:
            raise CodeHashError(
                f"params.yaml: plugins: {outside[0]}: stage `code` follows the folder {PLUGINS}/; move the module there"
            )
        code = [path for path in files if path.suffix == ".py"]
        found = closure_of(self._reader, code, whole=True)
        found.data.update((str(path), self._root / path) for path in files if path not in code)
        installed = plugins.distributions(names, self._root)
        return _hash(
            [
                *names,
                *(f"{name}=={version}" for name, version in installed.items()),
                *(f"{kind} {name} {value}" for kind, name, value in self._entries(found, False)),
            ]
        )

    def parts(self, script: Path) -> list[str]:
        """Return one line for each part of the code of a script, with names and places, for people to compare."""
        return sorted(
            {f"{k} {n} {v[:12]}" for k, n, v in self._entries(self._closure(script), True)}
        )

    def _closure(self, script: Path) -> Closure:
        return closure_of(self._reader, [script])

    def _entries(self, found: Closure, named: bool) -> list[tuple[str, str, str]]:
        colours = self._colours(found)
        entries = [
            ("definition", _title(statement) if named else "", colour)
            for statement, colour in colours.items()
        ]
        for module in found.modules:
            effects = [colours[s] for s in module.statements if s.always and s in colours]
            if effects and not named:
                entries.append(("module", "", _hash(effects)))  # in their order
        entries += [
            ("data", name, hashlib.sha256(path.read_bytes()).hexdigest())
            for name, path in found.data.items()
        ]
        versions = self._locks.versions(found.libraries, found.installed_data)
        entries += [("library", line, "") for line in versions]
        return sorted(set(entries))

    def _meaning(self, statement: Statement) -> str:
        if statement not in self._meanings:
            text = meaning(
                statement.node,
                self._reader.project.is_ours,
                keep_annotations=statement.keeps_annotations,
            )
            self._meanings[statement] = _hash([text])
        return self._meanings[statement]

    def _colours(self, found: Closure) -> dict[Statement, str]:
        """Return a hash of each statement and of what its names refer to, to any depth."""
        colours = {statement: self._meaning(statement) for statement in found.targets}
        distinct = 0
        for _ in range(MAX_ROUNDS):
            colours = {
                statement: _hash([colours[statement], *_named(targets, colours)])
                for statement, targets in found.targets.items()
            }
            if len(set(colours.values())) == distinct:
                break
            distinct = len(set(colours.values()))
        return colours


def _named(targets: Mapping[str, list[Target]], colours: Mapping[Statement, str]) -> Iterable[str]:
    for name, bound in targets.items():
        for target in bound:
            if isinstance(target, str):
                yield f"{name}={target}"
            else:
                yield f"{name}={colours.get(target, '') if isinstance(target, Statement) else 'module'}"


def _title(statement: Statement) -> str:
    names = [n for n, b in statement.module.bindings.items() if statement in b]
    return f"{statement.module.name}:{','.join(sorted(names)) or f'line {statement.node.lineno}'}"


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
