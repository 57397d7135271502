"""Resolves the global names of a test: its own names, and those of the setup, of libraries and of the answer."""

from __future__ import annotations

import _symtable  # type: ignore[import-not-found]
import builtins
import importlib
import sys
import types

from stillhouse.verify.code.referee.wire import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stillhouse.verify.code.referee.referee_end import RefereeEnd

GLOBAL = (_symtable.GLOBAL_IMPLICIT, _symtable.GLOBAL_EXPLICIT)
ONLY_AST = 0x400  # flag of `compile`: ast.PyCF_ONLY_AST, without importing the module ast

# Names that tests use without importing them. The answer cannot define them.
USUAL = {
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "itertools": ("chain", "combinations", "permutations", "product"),
    "functools": ("cmp_to_key", "partial", "reduce"),
    "math": ("gcd", "inf", "isclose", "isnan", "nan", "sqrt"),
    "typing": ("Any", "Dict", "List", "Optional", "Set", "Tuple", "Union"),
}
USUAL_MODULES = (
    *("collections", "copy", "datetime", "functools", "io", "itertools", "json", "math", "os"),
    *("random", "re", "string", "sys", "time"),
)


class MissingNameError(NameError):
    """A test uses a name that is defined nowhere."""


def imports(source: str) -> list[str]:
    """Return the import statements of library modules at the top level of a source text, each as source.

    Imports under another name are left out: `from math import cos as isclose` would change the meaning of a test.
    """
    if "import" not in source:  # the first syntax tree of an interpreter takes a millisecond
        return []
    try:
        body = compile(source, "program.py", "exec", ONLY_AST, dont_inherit=True).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in body:
        kind = type(node).__name__
        if kind == "ImportFrom":
            roots = [(node.module or "").split(".")[0]]
        elif kind == "Import":
            roots = [alias.name.split(".")[0] for alias in node.names]
        else:
            continue
        renamed = any(alias.asname or alias.name == "*" for alias in node.names)
        if not renamed and all(root in sys.stdlib_module_names for root in roots):
            names = ", ".join(alias.name for alias in node.names)
            start = f"from {'.' * node.level}{node.module or ''} " if kind == "ImportFrom" else ""
            found.append(f"{start}import {names}")
    return found


def names_in(source: str, bound_too: bool = False) -> set[str]:
    """Return all global names that a source text uses.

    Names that the text binds itself, such as the argument of a lambda, are included only if `bound_too`.
    """
    found: set[str] = set()
    waiting = [_symtable.symtable(source, "test.py", "exec")]
    while waiting:
        scope = waiting.pop()
        for name, flags in scope.symbols.items():
            reach = flags >> _symtable.SCOPE_OFF & _symtable.SCOPE_MASK
            if flags & _symtable.USE and (bound_too or reach in GLOBAL):
                found.add(name)
        waiting += scope.children
    return found


def _usual(name: str) -> Any:
    if name in USUAL_MODULES:
        return importlib.import_module(name)
    for module, names in USUAL.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise KeyError(name)


class SetupNames(dict):  # type: ignore[type-arg]  # the type argument is known to type checkers only
    """The global names of the setup. The referee runs the setup itself, so that the answer cannot replace its names."""

    def __init__(self, source: str, peer: RefereeEnd, after_answer: bool) -> None:
        """Run the setup.

        Args:
            source: the source text of the setup.
            peer: the connection to the candidate, which has the names of the answer.
            after_answer: whether the answer has run, so that the setup may use its names at once. Otherwise only
                functions of the setup may use them later.

        Raises:
            Exception: any exception of the setup.
        """
        super().__init__(__builtins__=builtins, __name__="setup")
        self.peer = peer
        self.running = not after_answer
        before = set(self)
        exec(compile(source, "setup.py", "exec", dont_inherit=True), self)
        self.running = False
        self.defined = set(self) - before
        peer.setup_classes = {
            name: kind
            for name, kind in self.items()
            if isinstance(kind, type) and kind.__module__ == "setup"
        }

    def __missing__(self, name: str) -> Any:
        if self.running or hasattr(builtins, name):
            raise KeyError(name)
        return of_answer(self.peer, name)


class Names(dict):  # type: ignore[type-arg]
    """The global names of a test: its own first, then the setup's, the answer's, and the built-in ones."""

    def __init__(
        self, entry_point: str, setup: SetupNames, borrowed: list[str], test: str, peer: RefereeEnd
    ) -> None:
        super().__init__(__builtins__=builtins, __name__="test")
        self.peer = peer
        self.entry_point = entry_point
        self.update({name: setup[name] for name in setup.defined})
        lent = self._import(borrowed) - setup.defined
        used = names_in(test)
        built_in = {name for name in used if hasattr(builtins, name)}
        for name in lent & built_in:
            self.pop(name)  # `from math import pow` in the answer must not replace a built-in
        lent -= built_in
        free = used - setup.defined - lent - built_in
        # The name under test is one that is defined nowhere else, or otherwise one that hides a name of a library.
        under_test = {entry_point} & used
        self.tested = under_test or free or used - setup.defined - built_in or built_in
        for name in self.tested - setup.defined | under_test:
            self.pop(name, None)

    def _import(self, statements: list[str]) -> set[str]:
        before = set(self)
        for statement in statements:
            with suppress(ImportError):
                exec(statement, self)
        return set(self) - before

    def __missing__(self, name: str) -> Any:
        if name not in self.tested:
            if hasattr(builtins, name):
                raise KeyError(name)
            with suppress(KeyError):
                return _usual(name)
        return of_answer(self.peer, name)


def of_answer(peer: RefereeEnd, name: str) -> Any:
    """Return the value of a name of the answer.

    Raises:
        MissingNameError: the answer does not define the name.
    """
    try:
        found = peer.ask("global", name)
    except KeyError:
        error = MissingNameError(f"name {name!r} is not defined", name=name)
        raise error from None
    if name[:1].isupper() and hasattr(type(found), "remote_constructs"):
        object.__setattr__(found, "remote_constructs", True)
    return found


class Solution(types.ModuleType):
    """The answer as a module, for tests with an import such as `from solution import add`."""

    def __init__(self, name: str, peer: RefereeEnd) -> None:
        super().__init__(name)
        self.peer = peer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return of_answer(vars(self)["peer"], name)
        except MissingNameError as error:
            raise AttributeError(str(error)) from None
