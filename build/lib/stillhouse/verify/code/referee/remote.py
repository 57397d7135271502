"""Defines the proxies of the candidate's objects that the tests work with.

A proxy has the operations of its object's class. In a comparison or computation with a value of the test, the object
counts as the built-in value that it extends; an object that extends none is incomparable. Its own operators are not
used, because they would get the expected value. They are used only if both operands are objects of the candidate, or if
the test itself created the object by calling a class of the answer (a name with a capital letter).
"""

from __future__ import annotations

import operator
import sys

from stillhouse.verify.code.referee.wire import Unsupported, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

NUMBERS = (int, float)
# With these methods a library accesses memory or an object, or returns its result, without the test.
NOT_LENT = ("__sympy__", "_sympy_", "_typ")
NOT_LENT_PREFIX = "__array_"  # numpy's methods; `__array__` itself is called and gives plain data

# Objects of these libraries stay in the candidate and cannot be compared with objects of a test.
LIBRARIES = ("networkx", "pandas", "scipy", "sympy")


class Remote:
    """A proxy of an object of the candidate that is not plain data."""

    __slots__ = (
        "__weakref__",
        "remote_base",  # the built-in class that its class extends, or None
        "remote_constructs",  # whether it is a class that the test calls by name
        "remote_kind",  # number of its class
        "remote_number",
        "remote_own",  # whether the test created it, or an operator from an object that the test created
        "remote_peer",
        "remote_value",  # the number or text that it extends, after the first request for it
    )

    remote_home: str | None = None  # the library of its class, if it is one of those above

    def __init__(self, peer: Any, number: int, kind: int, base: Any) -> None:
        for name, value in (
            ("remote_peer", peer),
            ("remote_number", number),
            ("remote_kind", kind),
            ("remote_base", base),
            ("remote_own", False),
            ("remote_constructs", False),
            ("remote_value", None),
        ):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":
            return signature(self)
        if name in NOT_LENT or (name.startswith(NOT_LENT_PREFIX) and name != "__array__"):
            raise AttributeError(name)
        return self.remote_peer.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.remote_peer.ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self.remote_peer.ask("delattr", self, name)

    def __str__(self) -> str:
        return str(self.remote_peer.ask("str", self))

    def __repr__(self) -> str:
        return str(self.remote_peer.ask("repr", self))

    def __format__(self, form: str) -> str:
        return str(self.remote_peer.ask("format", self, form))

    def __dir__(self) -> Any:
        return self.remote_peer.ask("dir", self)

    def __hash__(self) -> int:
        if self.remote_base is not None:
            return hash(remote_plain(self))
        return int(self.remote_peer.ask("hash", self))

    def __eq__(self, other: object) -> Any:
        if isinstance_of_remote(other) or (self.remote_own and not isinstance(other, type)):
            return bool(self.remote_peer.ask("operator", "eq", self, other))
        if self.remote_base is None:
            return _incomparable(self)
        return bool(remote_plain(self) == other)

    def __ne__(self, other: object) -> Any:
        if isinstance_of_remote(other) or (self.remote_own and not isinstance(other, type)):
            return bool(self.remote_peer.ask("operator", "ne", self, other))
        return not self == other


def isinstance_of_remote(value: object) -> bool:
    """Return whether a value is a proxy, regardless of its `__class__`."""
    return Remote in type(value).__mro__


def remote_plain(remote: Any) -> Any:
    """Return the plain data that an object extends; a number or text is requested once and then kept.

    Raises:
        TypeError: the object extends no plain data.
    """
    value = remote.remote_value
    if value is None:
        if remote.remote_base is None:
            raise TypeError("an object of the answer's own class is not plain data")
        value = remote.remote_peer.ask("plain", remote)
        if isinstance(value, (int, float, str, bytes)):
            object.__setattr__(remote, "remote_value", value)
    return value


def signature(remote: Any) -> Any:
    """Return the signature of a function of the candidate.

    Raises:
        AttributeError: the function has no signature.
    """
    import inspect

    sent = remote.remote_peer.ask("signature", remote)
    if sent is None:
        raise AttributeError("__signature__")
    parameters = [
        inspect.Parameter(name, kind, default=default[0] if default else inspect.Parameter.empty)
        for name, kind, default in sent
    ]
    return inspect.Signature(parameters)


def _incomparable(remote: Any) -> Any:
    """Return NotImplemented.

    Raises:
        Unsupported: the object is of a library that the test uses too, so that it may be the right one.
    """
    if remote.remote_home in sys.modules:
        error = Unsupported(f"a test compares with an object of {remote.remote_home}")
        remote.remote_peer.end_with(error)
        raise error
    return NotImplemented


def _class(self: Any) -> Any:
    if self.remote_base is None:
        _incomparable(self)
    return self.remote_base or self.remote_peer.ask("getattr", self, "__class__")


def _call(self: Any, *positional: Any, **keywords: Any) -> Any:
    result = self.remote_peer.ask("call", self, *positional, **keywords)
    if self.remote_constructs and isinstance_of_remote(result):
        object.__setattr__(result, "remote_own", True)
    return result


def _iterate(self: Any) -> Iterator[Any]:
    iterator = self.remote_peer.ask("iter", self)
    if not isinstance_of_remote(iterator):
        yield from iterator
        return
    with suppress(StopIteration):
        while True:
            yield self.remote_peer.ask("next", iterator)


def _contains(self: Any, item: Any) -> bool:
    if self.remote_own and self.remote_base is None:
        return bool(self.remote_peer.ask("operator", "contains", self, item))
    if self.remote_base is not None:
        return item in remote_plain(self)
    # The object's own search would get the expected value.
    return any(found is item or found == item for found in self)


def _asked(what: str, *first: Any) -> Callable[..., Any]:
    def ask(self: Any, *arguments: Any) -> Any:
        return self.remote_peer.ask(what, *first, self, *arguments)

    return ask


def _exit(self: Any, kind: Any, error: Any, trace: Any) -> Any:
    own = getattr(error, "remote_error", None)
    return self.remote_peer.ask("exit", self, own, type(error).__name__, str(error))


def _unary(name: str) -> Callable[..., Any]:
    def apply(self: Any, *arguments: Any) -> Any:
        if self.remote_base in NUMBERS:
            value = remote_plain(self)
            return getattr(value, name)(*arguments)
        return _own(self, self.remote_peer.ask("special", name, self, *arguments))

    return apply


def _binary(name: str, swapped: bool) -> Callable[[Any, Any], Any]:
    def apply(self: Any, other: Any) -> Any:
        if isinstance_of_remote(other) or (self.remote_own and self.remote_base is None):
            operands = (other, self) if swapped else (self, other)
            return _own(self, self.remote_peer.ask("operator", name, *operands))
        if self.remote_base is None:
            return _incomparable(self)
        mine = remote_plain(self)
        return getattr(operator, name)(*((other, mine) if swapped else (mine, other)))

    return apply


def _own(made_from: Any, result: Any) -> Any:
    if made_from.remote_own and isinstance_of_remote(result):
        object.__setattr__(result, "remote_own", True)
    return result


def _divmod(self: Any, other: Any) -> Any:
    return self // other, self % other


ARITHMETIC = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("and", "or", "xor", "lshift", "rshift"),
)

# The implementations in a proxy of the special methods that its object's class has.
METHODS: dict[str, Any] = {
    "__call__": _call,
    "__iter__": _iterate,
    "__contains__": _contains,
    "__next__": _asked("next"),
    "__reversed__": _asked("reversed"),
    "__len__": _asked("len"),
    "__bool__": lambda self: bool(self.remote_peer.ask("bool", self)),
    "__getitem__": _asked("operator", "getitem"),
    "__setitem__": _asked("operator", "setitem"),
    "__delitem__": _asked("operator", "delitem"),
    "__enter__": _asked("special", "__enter__"),
    "__exit__": _exit,
    "__instancecheck__": lambda self, item: bool(self.remote_peer.ask("isinstance", item, self)),
    "__subclasscheck__": lambda self, kind: bool(self.remote_peer.ask("issubclass", kind, self)),
    "__bytes__": _asked("bytes"),
    "__divmod__": _divmod,
}
for _name in ("int", "float", "complex", "round", "trunc", "floor", "ceil"):
    METHODS[f"__{_name}__"] = _unary(f"__{_name}__")
for _name in ("neg", "pos", "abs", "invert", "index"):
    METHODS[f"__{_name}__"] = _unary(f"__{_name}__")
for _name in ("lt", "le", "gt", "ge"):
    METHODS[f"__{_name}__"] = _binary(_name, False)
for _name in ARITHMETIC:
    _function = f"{_name}_" if _name in ("and", "or") else _name
    METHODS[f"__{_name}__"] = _binary(_function, False)
    METHODS[f"__r{_name}__"] = _binary(_function, True)
    METHODS[f"__i{_name}__"] = _binary(f"i{_name}", False)


def proxy_class(name: str, methods: list[Any], home: Any) -> type[Remote]:
    """Return the class of the proxies of objects of one class.

    Args:
        name: the name of that class.
        methods: its special methods; methods outside `METHODS` are ignored.
        home: the library that the class states as its own.
    """
    body: dict[str, Any] = {"__slots__": (), "__class__": property(_class)}
    body |= {method: METHODS[method] for method in METHODS if method in methods}
    body["remote_home"] = home if home in LIBRARIES else None
    body["__doc__"] = property(lambda self: self.remote_peer.ask("getattr", self, "__doc__"))
    body["__module__"] = property(lambda self: self.remote_peer.ask("getattr", self, "__module__"))
    return type(name, (Remote,), body)
