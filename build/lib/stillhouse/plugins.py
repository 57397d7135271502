"""Extensions that a user writes: verifiers, filter rules, source adapters, engines and benchmark tasks.

`plugins` in params.yaml lists Python modules, of the project (`plugins.my_rules` is plugins/my_rules.py) or installed
ones. An installed package may also register modules itself, by the entry-point group `stillhouse.plugins`. Each module
names its functions with the decorators below; the other sections of params.yaml then use these names.

Nothing of the pipeline may be imported here: a plugin imports this module, and so does every stage.
"""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from stillhouse.errors import StillhouseError

ENTRY_POINTS = "stillhouse.plugins"
Kind = Literal["verifier", "filter rule", "source adapter", "engine", "benchmark task"]
F = TypeVar("F", bound=Callable[..., Any])


class PluginError(StillhouseError):
    """A plugin cannot be loaded, or is used in a way that it does not allow; the message names module and remedy."""


class Score(NamedTuple):
    """What a verifier finds in an answer.

    `score` is in 0..1, and null where the answer cannot be graded. `reason` is one of `AnswerReason` or `ContentReason`
    in `stillhouse.verify.checks`; null: none for the full score, `wrong_answer` below it, `not_comparable` for no
    score. `evidence` says in words what was compared. `answer` is the part of the answer that was graded, if there is
    one.
    """

    score: float | None
    reason: str | None = None
    evidence: str = ""
    answer: str | None = None


class Extension:
    """One registered function or class.

    Args:
        kind: what it extends.
        name: what params.yaml calls it.
        version: raised by its author when its results change; null for kinds whose results are made anew in each run.
        function: the function or class itself.
    """

    def __init__(self, kind: Kind, name: str, version: str | None, function: Callable[..., Any]):
        self.kind = kind
        self.name = name
        self.version = version
        self.function = function

    @property
    def place(self) -> str:
        """Module and name of the function."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @cached_property
    def file_sha256(self) -> str:
        """Hash of the file that defines the function."""
        return hashlib.sha256(Path(inspect.getfile(self.function)).read_bytes()).hexdigest()

    def refuse_unknown(self, config: Mapping[str, Any], where: str, given: int = 0) -> None:
        """Check that the function takes a configuration as its keyword arguments.

        Args:
            config: names and values.
            where: the key of the configuration, for the message.
            given: how many positional arguments come before.

        Raises:
            PluginError: an argument is unknown or missing.
        """
        signature = inspect.signature(self.function)
        try:
            signature.bind(*[None] * given, **config)
        except TypeError as error:
            takes = ", ".join([*signature.parameters][given:]) or "no argument"
            raise PluginError(
                f"{where}: {self.kind} {self.name!r}: {error}; it takes: {takes}"
            ) from None


_registered: dict[tuple[Kind, str], Extension] = {}


def verifier(name: str, *, version: str) -> Callable[[F], F]:
    """Register a function `(query: Query, answer: str) -> Score`.

    It runs in a worker process under the limit of `verify.item_cpu_seconds`. The version is part of the key of a
    stored verdict: raise it when the code that the function calls in other files changes its verdicts.
    """
    return _decorator("verifier", name, version)


def filter_rule(name: str) -> Callable[[F], F]:
    """Register a function `(attempt: Attempt, **params) -> str | None`.

    It returns null to keep the attempt, or a short reason to drop it, such as `wrong_language`.
    """
    return _decorator("filter rule", name, None)


def source_adapter(name: str) -> Callable[[F], F]:
    """Register a function `(**config) -> Iterable[dict]`, whose rows have the columns of a query file."""
    return _decorator("source adapter", name, None)


def engine(name: str, *, version: str) -> Callable[[F], F]:
    """Register a class or function `(teacher: Teacher, **config) -> Engine` (stillhouse.models.engine).

    The version is part of every journal key: raise it when the same request would get another answer.
    """
    return _decorator("engine", name, version)


def benchmark_task(name: str) -> Callable[[F], F]:
    """Register a function `(**config) -> Iterable[dict]`: items with `prompt`, `answer`, perhaps `id`, `verifier`."""
    return _decorator("benchmark task", name, None)


def _decorator(kind: Kind, name: str, version: str | None) -> Callable[[F], F]:
    def register(function: F) -> F:
        found = Extension(kind, name, version, function)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise PluginError(
                f"{found.place}: the name {name!r} of a {kind} must match [a-z][a-z0-9_]*"
            )
        if "<locals>" in function.__qualname__:
            raise PluginError(
                f"{found.place}: define a {kind} at the top level of its module, where worker processes find it"
            )
        known = _registered.get((kind, name))
        if known is not None and known.place != found.place:
            raise PluginError(
                f"two plugins register the {kind} {name!r}: {known.place} and {found.place}; rename one of them"
            )
        _registered[kind, name] = found
        return function

    return register


def find(kind: Kind, name: str, where: str) -> Extension:
    """Return what is registered under a name; `where` is the key that uses it.

    Raises:
        PluginError: nothing is; the message lists the names that are.
    """
    found = _registered.get((kind, name))
    if found is None:
        known = ", ".join(sorted(n for k, n in _registered if k == kind)) or "none"
        raise PluginError(
            f"{where}: no plugin registers the {kind} {name!r}; registered: {known}; "
            "list its module under `plugins` in params.yaml"
        )
    return found


def load(names: Sequence[str], root: Path = Path()) -> None:
    """Import the modules, and those that installed packages register; a second call imports nothing again.

    Args:
        names: `plugins` of params.yaml.
        root: folder of the project, from which modules are imported first.

    Raises:
        PluginError: a module cannot be imported, registers a name twice, or imports a file of the project that is in no
            folder of a listed module.
    """
    folder = str(root.resolve())
    if names and folder not in sys.path:
        sys.path.insert(0, folder)
    before = set(sys.modules)
    for name in names:
        _import(name, partial(importlib.import_module, name))
    for point in _entry_points():
        _import(f"{point.value} (entry point {point.name!r})", point.load)
    _refuse_unlisted(set(sys.modules) - before, names, root)


def _import(name: str, imported: Callable[[], Any]) -> None:
    try:
        imported()
    except PluginError:
        raise
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"plugin {name} cannot be imported: {said}") from error


def _refuse_unlisted(imported: Iterable[str], names: Sequence[str], root: Path) -> None:
    """Refuse modules of the project whose changes would not be seen."""
    listed = {name.partition(".")[0] for name in names}
    for name in sorted(imported):
        top = name.partition(".")[0]
        file = getattr(sys.modules[name], "__file__", None)
        if top in listed or file is None:
            continue
        path = Path(file)
        if root.resolve() / top in path.parents or path == root.resolve() / f"{top}.py":
            raise PluginError(
                f"a plugin imports {name} ({path.relative_to(root.resolve())}), a change of which no stage would see: "
                f"list {name!r} under `plugins` in params.yaml, or move it into the folder of the plugin"
            )


def files(names: Sequence[str], root: Path = Path()) -> list[Path]:
    """Return the files of the project that decide what its plugins do, without importing them.

    Of a module in a folder these are all files of its top-level folder: a plugin may read them.

    Raises:
        PluginError: a module is neither in the project nor installed.
    """
    found: set[Path] = set()
    for top in sorted({name.partition(".")[0] for name in names}):
        if (root / top).is_dir():
            found.update(path for path in (root / top).rglob("*") if _counts(path, root))
        elif (root / f"{top}.py").is_file():
            found.add(root / f"{top}.py")
        else:
            _distributions_of(top)
    return sorted(found)


def distributions(names: Sequence[str], root: Path = Path()) -> dict[str, str]:
    """Return the versions of the installed packages that plugins come from, entry points included.

    Raises:
        PluginError: as `files`.
    """
    tops = {name.partition(".")[0] for name in names}
    installed = {t for t in tops if not (root / t).is_dir() and not (root / f"{t}.py").is_file()}
    found = {name: version(name) for top in installed for name in _distributions_of(top)}
    for point in _entry_points():
        if point.dist is not None:
            found[point.dist.name] = point.dist.version
    return dict(sorted(found.items()))


def _counts(path: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
    return path.is_file() and not hidden


def _distributions_of(top: str) -> list[str]:
    names = packages_distributions().get(top, [])
    if not names:
        raise PluginError(
            f"params.yaml: plugins: no module {top!r}: neither {top}/ nor {top}.py is in the project, and no installed "
            "package has it"
        )
    return names


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value))
