"""Provides a small `pytest` to tests, and calls the test functions that they define."""

from __future__ import annotations

import math
import re
import sys
import types

from stillhouse.verify.code.referee.remote import isinstance_of_remote
from stillhouse.verify.code.referee.wire import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RELATIVE, ABSOLUTE = 1e-6, 1e-12  # the default tolerances of pytest's `approx`


class Raises:
    """`pytest.raises` as a context manager, or called with a function."""

    def __init__(self, kind: Any, match: str | None = None) -> None:
        self.kind, self.match = kind, match
        self.value: Any = None

    def __enter__(self) -> Raises:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            raise AssertionError(f"did not raise {self.kind}")
        if not isinstance(error, self.kind):
            return False
        self.value, self.type = error, kind
        if self.match is not None:
            assert re.search(self.match, str(error)), (
                f"{str(error)!r} does not match {self.match!r}"
            )
        return True


def raises(kind: Any, *called: Any, match: str | None = None, **keywords: Any) -> Any:
    """Return a context manager in which an exception must be raised, or call a function that must raise it.

    Args:
        kind: the exception's class or classes.
        called: a function and its positional arguments, if it is to be called.
        match: a regular expression for the exception's text.
        keywords: the keyword arguments of the function.
    """
    context = Raises(kind, match)
    if not called:
        return context
    with context:
        called[0](*called[1:], **keywords)
    return context


class Approximately:
    """`pytest.approx` of a number, or of a list, tuple or dict of numbers."""

    def __init__(self, expected: Any, rel: Any = None, abs: Any = None) -> None:
        self.expected = expected
        self.rel, self.abs = rel, abs

    def __eq__(self, other: object) -> bool:
        return self._same(other, self.expected)

    __hash__ = None  # type: ignore[assignment]

    def _same(self, given: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            same_keys = isinstance(given, dict) and given.keys() == wanted.keys()
            return same_keys and all(self._same(given[key], wanted[key]) for key in wanted)
        if isinstance(wanted, (list, tuple)):
            return len(given) == len(wanted) and all(map(self._same, given, wanted))
        if wanted == given:
            return True
        absolute = ABSOLUTE if self.abs is None else self.abs
        # As in pytest, an absolute tolerance alone disables the relative one.
        relative = (0.0 if self.abs is not None else RELATIVE) if self.rel is None else self.rel
        try:
            return math.isfinite(wanted) and bool(
                math.fabs(float(given) - wanted) <= max(absolute, relative * math.fabs(wanted))
            )
        except (TypeError, ValueError, OverflowError):
            return False


class _Mark:
    """`pytest.mark`; only `parametrize` has an effect here."""

    def parametrize(self, names: Any, values: Any, **_: Any) -> Any:
        """Return a decorator that stores the arguments of a test function."""
        split = [name.strip() for name in names.split(",")] if isinstance(names, str) else names

        def decorate(function: Any) -> Any:
            sets = [
                dict(zip(split, value if len(split) > 1 else (value,), strict=True))
                for value in values
            ]
            earlier = getattr(function, "argument_sets", [{}])
            function.argument_sets = [one | two for one in earlier for two in sets]
            return function

        return decorate

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(f"pytest.mark.{name}")


class _Pytest(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Unsupported(f"pytest.{name}")


def provide_pytest() -> None:
    """Make the small `pytest` importable for tests."""
    module: Any = _Pytest("pytest")
    module.raises, module.approx, module.mark = raises, Approximately, _Mark()

    def fail(reason: str = "") -> None:
        raise AssertionError(reason)

    module.fail = fail
    sys.modules["pytest"] = module


def run_defined(names: dict[str, Any], entry_point: str, called: set[str]) -> bool:
    """Call the test functions that a test has defined, as a test runner does; return whether there were any.

    Args:
        names: the global names of the test after it has run.
        entry_point: the function under test, for a `check(candidate)` as in HumanEval.
        called: names that the test uses itself.
    """
    found = False
    for name, value in list(names.items()):
        if isinstance_of_remote(value) or getattr(value, "__module__", None) != "test":
            continue
        if isinstance(value, types.FunctionType):
            if name.startswith("test"):
                if name not in called:
                    _call(value)
                found = True
            elif (
                name == "check"
                and entry_point
                and name not in called
                and value.__code__.co_argcount == 1
            ):
                value(names[entry_point])
                found = True
        elif isinstance(value, type) and (name.startswith("Test") or _is_case(value)):
            found = _run_class(value) or found
    return found


def _call(function: Any, *first: Any) -> None:
    sets = getattr(function, "argument_sets", [{}])
    for arguments in sets:
        code = function.__code__
        if code.co_argcount - len(first) - len(function.__defaults__ or ()) > len(arguments):
            raise Unsupported(f"{function.__name__} needs fixtures")
        function(*first, **arguments)


def _is_case(kind: type) -> bool:
    unittest = sys.modules.get("unittest")
    return unittest is not None and issubclass(kind, unittest.TestCase)


def _run_class(kind: Any) -> bool:
    tests = [
        name for name in dir(kind) if name.startswith("test") and callable(vars(kind).get(name))
    ]
    for name in tests:
        instance = kind(name) if _is_case(kind) else kind()
        before, after = (
            ("setUp", "tearDown") if _is_case(kind) else ("setup_method", "teardown_method")
        )
        getattr(instance, before, lambda: None)()
        try:
            _call(vars(kind)[name], instance)
        finally:
            getattr(instance, after, lambda: None)()
    return bool(tests)
