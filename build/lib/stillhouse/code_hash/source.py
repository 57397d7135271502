"""The project's Python files: modules by name, and the top-level statements of a module with the names they bind."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stillhouse.errors import StillhouseError

SOURCE = Path("src")
PLUGINS = Path("plugins")
# Calls that do nothing but make a value. A statement with other calls may change something else while its module is
# imported, so it counts as soon as the module does.
PURE_CALLS = frozenset(
    str.split("""
    AfterValidator BeforeValidator ConfigDict Decimal Decoder Discriminator Encoder Field Fraction NewType Path
    PurePosixPath StringConstraints Struct Tag TypeAdapter TypeVar bool bytes compile dict encode enumerate field float
    frozenset get int items join keys len list lower maketrans map max min namedtuple range removeprefix removesuffix
    replace resolve rstrip set sorted split splitlines str strip sum timedelta tuple upper values with_name with_suffix
    zip
    """)
)
PURE_DECORATORS = frozenset(
    str.split("""
    abstractmethod asynccontextmanager cache cached_property classmethod contextmanager dataclass final lru_cache
    model_validator override overload property runtime_checkable setter staticmethod total_ordering wraps
    """)
)
# A class of the same module without these methods does nothing but make a value, too.
_RUN_WHEN_MADE = {"__init__", "__new__", "__post_init__", "__call__", "model_post_init"}


class CodeHashError(StillhouseError):
    """The code of a stage cannot be followed, or its recorded hash is stale."""


@dataclass(frozen=True, eq=False)
class Statement:
    """A top-level statement. `always`: it counts as soon as its module is imported, used or not."""

    module: "Module"
    node: ast.stmt
    always: bool

    @functools.cached_property
    def keeps_annotations(self) -> bool:
        """Whether a decorator other than the well-known ones may read the annotations of a function."""
        return any(
            not _pure(decorator, PURE_DECORATORS)
            for node in ast.walk(self.node)
            for decorator in getattr(node, "decorator_list", [])
        )


@dataclass(frozen=True)
class Import:
    """A bound name: a module, or `name` in it."""

    module: str
    name: str | None


class Module:
    """A parsed file. `bindings` maps a name to what binds it at the top level, in order."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.is_package = path.name == "__init__.py"
        self.statements: list[Statement] = []
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.bindings: dict[str, list[Statement | Import]] = {}
        self._plain_classes: set[str] = set()
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except (SyntaxError, ValueError) as error:
            raise CodeHashError(f"{path}: not valid Python: {error}") from None
        for node in tree.body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if _for_type_checkers(node):
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.append(node)
        elif not _is_docstring(node):
            statement = Statement(self, node, _has_effect(node, PURE_CALLS | self._plain_classes))
            if isinstance(node, ast.ClassDef) and not _RUN_WHEN_MADE.intersection(
                n.name for n in node.body if isinstance(n, ast.FunctionDef)
            ):
                self._plain_classes.add(node.name)
            self.statements.append(statement)
            for name in _bound_names(node):
                self.bindings.setdefault(name, []).append(statement)
        for imported in _imports_below(node):
            for name, target in self.targets(imported):
                self.bindings.setdefault(name, []).append(target)

    def targets(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
        """Yield the names that an import binds, with what each refers to."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, Import(alias.name if alias.asname else top, None)
            return
        for alias in node.names:
            yield alias.asname or alias.name, Import(self.absolute(node), alias.name)

    def absolute(self, node: ast.ImportFrom) -> str:
        """Return the dotted name of the module that is imported from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        kept = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def imported(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Return the dotted names of all modules that an import may load, and of the names it takes from them."""
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        home = self.absolute(node)
        return [home, *(f"{home}.{alias.name}" for alias in node.names)]


class Project:
    """The modules below a project's root, parsed when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_path: dict[Path, Module] = {}

    @functools.cache  # noqa: B019 - a project lives as long as its process
    def path_of(self, name: str) -> Path | None:
        """Return the file of one of the project's modules; None: not ours."""
        if not name or not all(part.isidentifier() for part in name.split(".")):
            return None
        for top in (self.root / SOURCE, self.root):
            stem = top.joinpath(*name.split("."))
            if top == self.root and name.partition(".")[0] != PLUGINS.name:
                continue
            for path in (stem / "__init__.py", stem.with_suffix(".py")):
                if path.is_file():
                    return path
        return None

    def is_ours(self, name: str) -> bool:
        """Whether a dotted name is a module of the project."""
        return self.path_of(name) is not None

    def module(self, name: str) -> Module | None:
        """Return one of the project's modules; None: not ours."""
        path = self.path_of(name)
        return self.at(path) if path else None

    def at(self, path: Path) -> Module:
        """Return the module in a file."""
        if path not in self._by_path:
            self._by_path[path] = Module(self._name(path), path)
        return self._by_path[path]

    def _name(self, path: Path) -> str:
        try:
            relative = path.relative_to(self.root / SOURCE)
        except ValueError:
            relative = path.relative_to(self.root)
        parts = relative.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def dotted(node: ast.AST) -> str | None:
    """Return `a.b.c` of names and attributes; None: something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and dotted(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def _imports_below(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that a top-level statement runs itself, not those in its functions."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        for child in ast.iter_child_nodes(node):
            yield from _imports_below(child)


def _bound_names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    found = set()
    waiting: list[ast.AST] = [node]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(inner.name)
            continue
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            found.add(inner.id)
        waiting += ast.iter_child_nodes(inner)
    return found


def _pure(node: ast.AST, allowed: frozenset[str]) -> bool:
    """Whether a callee or decorator is one of the known ones, by its last name."""
    target = node.func if isinstance(node, ast.Call) else node
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name in allowed


def _calls_are_pure(node: ast.AST, pure: frozenset[str]) -> bool:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Await | ast.Yield | ast.NamedExpr):
            return False
        if isinstance(inner, ast.Call) and not _pure(inner, pure):
            return False
    return True


def _has_effect(node: ast.stmt, pure: frozenset[str]) -> bool:
    """Whether running a top-level statement may do more than bind its names; calls of `pure` names do not."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            values, decorators = defaults, node.decorator_list
        case ast.ClassDef():
            inside = [n for n in node.body if not _is_docstring(n)]
            if any(k.arg == "metaclass" for k in node.keywords) or any(
                _has_effect(n, pure) for n in inside
            ):
                return True
            values = [*node.bases, *(k.value for k in node.keywords)]
            decorators = node.decorator_list
        case ast.Assign():
            if not all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets):
                return True
            values, decorators = [node.value], []
        case ast.AnnAssign():
            if not isinstance(node.target, ast.Name):
                return True
            values, decorators = [node.value] if node.value else [], []
        case ast.Pass():
            return False
        case _:
            return True
    known = all(_pure(decorator, PURE_DECORATORS) for decorator in decorators)
    return not known or not all(_calls_are_pure(value, pure) for value in values)
