"""Sends requests to the candidate and creates proxies of its objects: the referee's end of the protocol.

The candidate may only call functions and advance iterators that the test itself passed to it: no type, no operator, no
attribute. An argument of such a call is plain data or a proxy, never a class of this end.
"""

from __future__ import annotations

import builtins

from stillhouse.verify.code.referee.peer import Peer
from stillhouse.verify.code.referee.remote import Remote, isinstance_of_remote, proxy_class
from stillhouse.verify.code.referee.values import BASES
from stillhouse.verify.code.referee.wire import GoneError, RemoteError, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_NAME_CHARS = 80


class StandIn(Exception):  # noqa: N818  # its message shows the name of the answer's exception
    """An exception of a class of the answer. A test may catch it by that class and read its attributes."""

    remote_error: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.remote_error, name)

    def __str__(self) -> str:
        return str(self.remote_error)


class RefereeEnd(Peer):
    """Sends the requests of a test to the candidate."""

    allowed = frozenset(("call", "next"))

    def __init__(self, reading: int, writing: int) -> None:
        super().__init__(reading, writing)
        self.passed: set[int] = (
            set()
        )  # identities of the functions and iterators that the candidate may use
        self.proxies: dict[int, Remote] = {}
        self.kinds: dict[int, tuple[type[Remote], Any]] = {}
        self.stand_ins: dict[int, type[StandIn]] = {}
        self.serving = 0
        # An error that a test must not be able to hide by catching every exception.
        self.ended: BaseException | None = None

    def ask(self, what: str, *positional: Any, **keywords: Any) -> Any:
        """Request an operation from the candidate and return its result."""
        try:
            return super().ask(what, *positional, **keywords)
        except (GoneError, Unsupported) as error:
            self.end_with(error)
            raise

    def end_with(self, error: BaseException) -> None:
        """Make a test end with this error, also if it catches every exception."""
        self.ended = self.ended or error

    def serve(self, message: dict[str, Any]) -> None:
        """Run the operation that the candidate requested, and reply."""
        self.serving += 1
        try:
            super().serve(message)
        finally:
            self.serving -= 1

    def do(self, what: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """Call a function of the test, or advance an iterator of the test.

        Raises:
            TypeError: the test did not pass this function or iterator.
        """
        target = positional[0]
        if id(target) not in self.passed:
            raise TypeError("the test has not passed that")
        return next(target) if what == "next" else target(*positional[1:], **keywords)

    def decode_argument(self, value: Any) -> Any:
        """Return an argument for a function of the test; a class is not allowed."""
        if isinstance(value, dict) and next(iter(value), None) in ("type", "exception"):
            raise TypeError("a class is no argument for a function of the test")
        return self.decode(value)

    def encode_object(self, value: Any) -> Any:
        """Return the reference to a proxy's object, or to a function or iterator of the test.

        Raises:
            Unsupported: the value is another object.
        """
        if isinstance_of_remote(value):
            return {"yours": object.__getattribute__(value, "remote_number")}
        if isinstance(value, StandIn):
            return self.encode(value.remote_error)
        if isinstance(value, type) and issubclass(value, StandIn):
            return {"yours": next(n for n, kind in self.stand_ins.items() if kind is value)}
        if callable(value):
            self.passed.add(id(value))
            texts = [getattr(value, name, None) for name in ("__name__", "__doc__")]
            return {
                "callable": [self.number(value), *(t if type(t) is str else None for t in texts)]
            }
        if hasattr(type(value), "__next__"):
            self.passed.add(id(value))
            return {"iterator": self.number(value)}
        if self.serving:
            return {"opaque": self.number(value)}
        raise Unsupported(f"a test passes a {type(value).__name__} to the program")

    def decode_object(self, kind: str, content: Any) -> Any:
        """Return the proxy of an object of the candidate, or an object that a test passed to it."""
        if kind == "yours":
            if not 0 <= content < len(self.objects):
                raise GoneError("the program sent the number of nothing")
            return self.objects[content]
        if kind == "mine":
            return self._proxy(*content)
        if kind == "raises":
            return self._stand_in(*content)
        if kind == "coroutine":
            return _awaited(self, self.decode(content))
        raise GoneError(f"the program sent {kind!r}")

    def give_state(self, value: Any, state: dict[str, Any]) -> None:
        """As in the base class; the answer cannot replace a method of a setup class.

        Raises:
            GoneError: an attribute would hide a method.
        """
        for name in state:
            if callable(getattr(type(value), name, None)):
                raise GoneError(f"the program replaced the method {name!r} of the setup")
        super().give_state(value, state)

    def _proxy(self, number: int, kind: int, *described: Any) -> Remote:
        proxy = self.proxies.get(number)
        if proxy is None:
            if described:
                base, name, methods, home = described
                made = proxy_class(str(name)[:MAX_NAME_CHARS], methods, home)
                self.kinds[kind] = made, next((b for b in BASES if b.__name__ == base), None)
            if type(number) is not int or kind not in self.kinds:
                raise GoneError("the program sent an object of no class")
            made, base = self.kinds[kind]
            proxy = self.proxies[number] = made(self, number, kind, base)
        # The test did not create this object by the present call.
        object.__setattr__(proxy, "remote_own", False)
        return proxy

    def _stand_in(self, number: int, name: str, bases: list[Any]) -> type[StandIn]:
        found = self.stand_ins.get(number)
        if found is None:
            own = [base for base in map(self.decode, bases) if _is_stand_in(base)]
            kinds: list[Any] = []
            for base in bases:
                kind = getattr(builtins, str(base), None)
                # `except StopIteration` is reserved for the loops of the test.
                known = isinstance(kind, type) and issubclass(kind, Exception)
                if known and kind not in (Exception, StopIteration, StopAsyncIteration):
                    kinds.append(kind)
            try:
                found = type(str(name)[:MAX_NAME_CHARS], (*(own[:1] or [StandIn]), *kinds[:1]), {})
            except TypeError:  # base classes with conflicting layouts or orders
                found = type(str(name)[:MAX_NAME_CHARS], (StandIn,), {})
            self.stand_ins[number] = found
        return found

    def error_of(self, what: str, sent: Any) -> BaseException:
        """Return the exception that an operation of the candidate raised.

        Args:
            what: the operation.
            sent: the name of the exception's class, its text and its arguments; if the class is the answer's, also
                that class and the exception.
        """
        name, text, arguments, own, instance = sent
        error: BaseException
        if own is not None:
            kind = self.decode(own)
            error = kind()
            error.remote_error = self.decode(instance)  # type: ignore[attr-defined]
        else:
            kind = getattr(builtins, str(name), None)
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                error = RemoteError(f"{name}: {text}")
            elif issubclass(kind, (StopIteration, StopAsyncIteration)) and what != "next":
                # In a test that uses map() or all(), a StopIteration would end these early.
                error = RuntimeError(f"the program raised {name}")
            else:
                try:
                    error = kind(*self.decode(arguments))
                except Exception:
                    error = RemoteError(f"{name}: {text}")
        error.from_answer = True  # type: ignore[attr-defined]
        return error


def _is_stand_in(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, StandIn)


async def _awaited(peer: RefereeEnd, coroutine: Any) -> Any:
    return peer.ask("await", coroutine)
