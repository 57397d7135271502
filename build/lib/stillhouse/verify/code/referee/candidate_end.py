"""Runs the code of the answer, and serves the requests of the referee: the candidate's end of the protocol."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import builtins
import resource
import sys
import types

from stillhouse.verify.code.referee.peer import Peer, apply
from stillhouse.verify.code.referee.remote import METHODS
from stillhouse.verify.code.referee.values import base_of, plain
from stillhouse.verify.code.referee.wire import GoneError, describe, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

THREAD_STACK_BYTES = (
    8 << 20
)  # otherwise each thread has the stack size of the first thread, which is larger
BUILT_IN = (
    *("getattr", "setattr", "delattr", "len", "bool", "str", "repr", "format", "dir", "hash"),
    *("iter", "next", "reversed", "isinstance", "issubclass", "bytes"),
)
OWN = ("call", "global", "plain", "special", "exit", "signature", "await", "operator")


class Borrowed:
    """A proxy of a function of the test."""

    def __init__(self, peer: Peer, number: int, name: str | None, doc: str | None) -> None:
        self.__name__ = self.__qualname__ = name or "function"
        self.__doc__ = doc
        self._borrowed = peer, number

    def __call__(self, *positional: Any, **keywords: Any) -> Any:
        """Ask the referee to call the function."""
        return self._borrowed[0].ask("call", self, *positional, **keywords)


class BorrowedIterator:
    """A proxy of an iterator of the test."""

    def __init__(self, peer: Peer, number: int) -> None:
        self._borrowed = peer, number

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self._borrowed[0].ask("next", self)


class Opaque:
    """An object of the test that the candidate can only pass back."""

    def __init__(self, peer: Peer, number: int) -> None:
        self._borrowed = peer, number


class CandidateEnd(Peer):
    """Serves requests of the referee on objects of the answer."""

    allowed = frozenset((*BUILT_IN, *OWN))

    def __init__(self, reading: int, writing: int) -> None:
        super().__init__(reading, writing)
        self.kinds: dict[type, int] = {}
        self.borrowed: dict[int, Any] = {}

    def setup_name(self, kind: type) -> str | None:
        """As in the base class. If the answer repeats a class of the setup, the answer's class counts as that class."""
        name = super().setup_name(kind)
        if name is None and self.module is not None:
            name = getattr(kind, "__name__", None)
            repeated = name in self.setup_classes and vars(self.module).get(str(name)) is kind
            return name if repeated else None
        return name

    def setup_class(self, name: str) -> type:
        """As in the base class, but a class that the answer has replaced is the answer's."""
        kind = super().setup_class(name)
        repeated = vars(self.module).get(name)
        return repeated if isinstance(repeated, type) else kind

    def encode_object(self, value: Any) -> Any:
        """Return the number of an object of the answer, with its class if the referee does not know it yet."""
        if isinstance(value, (Borrowed, BorrowedIterator, Opaque)):
            return {"yours": value._borrowed[1]}
        kind = type(value)
        if kind is types.CoroutineType:
            return {"coroutine": self._mine(value)}
        if isinstance(value, type) and issubclass(value, Exception):
            return self._exception_class(value)
        return self._mine(value)

    def _mine(self, value: Any) -> Any:
        kind = type(value)
        found = self.kinds.get(kind)
        if found is not None:
            return {"mine": [self.number(value), found]}
        self.kinds[kind] = len(self.kinds)
        base = base_of(value)
        methods = [name for name in METHODS if getattr(kind, name, None) is not None]
        home = str(getattr(kind, "__module__", None)).partition(".")[0]
        described = [base and base.__name__, kind.__name__, methods, home]
        return {"mine": [self.number(value), self.kinds[kind], *described]}

    def _exception_class(self, kind: type) -> Any:
        bases: list[Any] = []
        for base in kind.__mro__[1:]:
            if vars(builtins).get(base.__name__) is base:
                bases.append(base.__name__)
            elif issubclass(base, Exception):
                bases.append(self.encode(base))
        return {"raises": [self.number(kind), kind.__name__, bases]}

    def decode_object(self, kind: str, content: Any) -> Any:
        """Return an object of the answer by its number, or the proxy of an object of the test."""
        if kind == "yours":
            return self.objects[content]
        number = content[0] if kind == "callable" else content
        if number not in self.borrowed:
            if kind == "callable":
                self.borrowed[number] = Borrowed(self, *content)
            elif kind == "iterator":
                self.borrowed[number] = BorrowedIterator(self, content)
            elif kind == "opaque":
                self.borrowed[number] = Opaque(self, content)
            else:
                raise GoneError(f"the referee sent {kind!r}")
        return self.borrowed[number]

    def encode_error(self, error: BaseException) -> Any:
        """Return an exception: name, text and arguments; for a class of the answer also the class and the exception."""
        kind = type(error)
        own = vars(builtins).get(kind.__name__) is not kind and isinstance(error, Exception)
        try:
            arguments = self.encode(list(error.args))
        except Exception:
            arguments = [describe(error)]
        if own and getattr(kind, "__module__", None) == "solution":
            return [kind.__name__, describe(error), [], self.encode(kind), self._mine(error)]
        name = kind.__name__
        if own:  # a class of the library counts as the built-in class that it extends
            known = [b for b in kind.__mro__ if vars(builtins).get(b.__name__) is b]
            name = known[0].__name__
        return [name, describe(error), arguments, None, None]

    def error_of(self, what: str, sent: Any) -> BaseException:
        """Return the exception that a function of the test raised."""
        name, text = sent
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(text)
        return RuntimeError(f"{name}: {text}")

    def do(self, what: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """Run one operation on objects of the answer."""
        if what == "call":
            return positional[0](*positional[1:], **keywords)
        if what == "global":
            return vars(self.module)[positional[0]]
        if what == "plain":
            return plain(positional[0])
        if what == "special":
            name, value, *arguments = positional
            return getattr(type(value), name)(value, *arguments)
        if what == "exit":
            return _leave(*positional)
        if what == "signature":
            return _signature(positional[0])
        if what == "await":
            return _await(positional[0])
        return apply(what, positional, keywords)


def _leave(manager: Any, own: Any, name: str, text: str) -> Any:
    if own is None and name == "NoneType":
        return type(manager).__exit__(manager, None, None, None)
    kind = getattr(builtins, name, RuntimeError)
    error = own if own is not None else kind(text)
    return type(manager).__exit__(manager, type(error), error, None)


def _signature(function: Any) -> Any:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    empty = inspect.Parameter.empty
    return [[p.name, int(p.kind), [] if p.default is empty else [p.default]] for p in parameters]


def _await(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def candidate(reading: int, writing: int) -> None:
    """Run the code of the answer, then serve requests until the referee closes the pipe."""
    peer = CandidateEnd(reading, writing)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _thread.stack_size(THREAD_STACK_BYTES)
    job = peer.receive()
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"],) * 2)
    # The name is not __main__: code of an answer under that guard is an example, and may wait for input.
    peer.module = module = sys.modules["solution"] = types.ModuleType("solution")
    for part in ("setup", "code"):
        try:
            program = compile(job[part], f"{part}.py", "exec", dont_inherit=True)
            exec(program, module.__dict__)
        except BaseException as error:
            text = f"{type(error).__name__}: {describe(error)}"
            peer.send({"failed": part, "error": text})
            return
        if part == "setup":
            peer.setup_classes = {
                name: kind
                for name, kind in vars(module).items()
                if isinstance(kind, type) and kind.__module__ == "solution"
            }
    peer.send({"failed": None})
    with suppress(GoneError):
        while True:
            peer.serve(peer.receive())
