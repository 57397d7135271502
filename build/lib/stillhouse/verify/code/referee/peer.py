"""Implements one end of the protocol between referee and candidate: the operations, and the transfer of values.

Plain data is sent by value (`values`). An instance of a class of the setup is sent by value too and keeps its identity:
both ends have the class, and each message updates the copy of the other end. All other objects stay at their end and
are sent as a number.
"""

from __future__ import annotations

import builtins
import operator
import os

from stillhouse.verify.code.referee.values import (
    BASES,
    MUTABLE,
    NOT_PLAIN,
    decode_plain,
    encode_plain,
)
from stillhouse.verify.code.referee.wire import (
    MAX_MESSAGE_BYTES,
    GoneError,
    Unsupported,
    describe,
    from_json,
    to_json,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from typing import Any

# Types that may be sent by name. `type` and similar ones are excluded because they create classes.
DATA_TYPES = {
    kind.__name__: kind
    for kind in (
        *(bool, bytearray, bytes, complex, dict, float, frozenset, int),
        *(list, object, range, set, str, tuple, type(None)),
    )
}


class Peer:
    """Sends, receives, requests and serves. Referee and candidate differ in the objects that are sent by number."""

    # The operations that the other end may request.
    allowed: frozenset[str] = frozenset()

    def __init__(self, reading: int, writing: int) -> None:
        self.reader = os.fdopen(reading, "rb")
        self.writer = os.fdopen(writing, "wb")
        self.module: types.ModuleType | None = None
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}  # numbers of `objects` by identity
        self.setup_classes: dict[str, type] = {}
        # Instances of setup classes: positive keys were created at this end, negative keys at the other end.
        self.instances: dict[int, Any] = {}
        self.keys: dict[int, int] = {}
        self.pending: list[int] = []
        self.mentioned: set[int] = set()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message.

        Raises:
            GoneError: the other end has closed the pipe.
        """
        try:
            self.writer.write(to_json(message))
            self.writer.flush()
        except OSError as error:
            raise GoneError("the program ended before it answered") from error

    def receive(self) -> Any:
        """Read one message.

        Raises:
            GoneError: the other end has closed the pipe.
        """
        line = self.reader.readline(MAX_MESSAGE_BYTES)
        if not line.endswith(b"\n"):
            raise GoneError("the program ended before it answered")
        return from_json(line.decode("ascii", "replace"))

    def ask(self, what: str, *positional: Any, **keywords: Any) -> Any:
        """Request an operation from the other end and return its result, and serve its requests meanwhile.

        Args:
            what: the name of the operation.
            positional: its positional arguments.
            keywords: its keyword arguments.
        """
        self.send(self.with_instances({"do": what}, {"a": positional, "k": keywords}))
        while "do" in (message := self.receive()):
            self.serve(message)
        result: Any = None
        try:
            self.decode_instances(message)
            error = self.error_of(what, message["error"]) if "error" in message else None
            if error is None:
                for original, after in zip(positional, message["after"], strict=False):
                    if type(original) in MUTABLE and after is not None:
                        _replace(original, self.decode(after))
                result = self.decode(message["result"])
        except (AttributeError, LookupError, TypeError, ValueError) as broken:
            raise GoneError("the program broke the protocol") from broken
        if error is not None:
            raise error
        return result

    def serve(self, message: dict[str, Any]) -> None:
        """Run the operation that the other end requested, and reply."""
        try:
            what = message["do"]
            if what not in self.allowed:
                raise TypeError(f"{what} is not allowed")
            self.decode_instances(message)
            positional = [self.decode_argument(item) for item in message["a"]["tuple"]]
            keywords = {k: self.decode_argument(v) for k, v in message["k"]["dict"]}
            result = self.do(what, positional, keywords)
            after = [a if type(a) in MUTABLE else None for a in positional]
            reply = self.with_instances({}, {"result": result, "after": after})
        except BaseException as error:
            if isinstance(error, (GoneError, Unsupported)):
                raise
            reply = {"error": self.encode_error(error)}
        self.send(reply)

    def do(self, what: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        """Run one operation on objects of this end.

        Args:
            what: the name of the operation.
            positional: its positional arguments.
            keywords: its keyword arguments.
        """
        raise NotImplementedError

    def decode_argument(self, value: Any) -> Any:
        """Return the decoded argument of a request of the other end."""
        return self.decode(value)

    def encode_error(self, error: BaseException) -> Any:
        """Return an exception as JSON-ready data."""
        return [type(error).__name__, describe(error)]

    def error_of(self, what: str, sent: Any) -> BaseException:
        """Return the exception that the other end encoded with `encode_error`."""
        raise NotImplementedError

    def encode(self, value: Any) -> Any:
        """Return a value as JSON-ready data: plain data by value, any other object by number."""
        encoded = encode_plain(value, self.encode)
        if encoded is not NOT_PLAIN:
            return encoded
        kind: Any = type(value)
        if kind is type:
            called: str = value.__name__
            if DATA_TYPES.get(called) is value:
                return {"type": called}
            built_in: Any = vars(builtins).get(called)
            if built_in is value and issubclass(built_in, Exception):
                return {"exception": called}
        name = self.setup_name(kind)
        if name is None:
            return self.encode_object(value)
        if member := getattr(kind, "__members__", None):
            names = [n for n, m in member.items() if m is value]
            return {"member": [name, names[0] if names else ""]}
        base = _extended(kind)
        if base is not None:
            return {"made": [name, self.encode(base(value)), self.encode(_state(value))]}
        key = self.keys.get(id(value))
        if key is None:
            key = len(self.keys) + 1
            self.keys[id(value)], self.instances[key] = key, value
        if key not in self.mentioned:
            self.mentioned.add(key)
            self.pending.append(key)
        return {"at": key}

    def setup_name(self, kind: type) -> str | None:
        """Return the name of a class of the setup; None for any other class."""
        name = getattr(kind, "__name__", None)
        return name if isinstance(name, str) and self.setup_classes.get(name) is kind else None

    def encode_object(self, value: Any) -> Any:
        """Return the JSON-ready reference to an object that stays at this end."""
        raise NotImplementedError

    def number(self, value: Any) -> int:
        """Return the number of an object of this end."""
        found = self.numbers.get(id(value))
        if found is None:
            found = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return found

    def decode(self, value: Any) -> Any:
        """Return the value that the other end encoded with `encode`.

        Raises:
            GoneError: the data is malformed.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise GoneError("the program sent no value")
        ((kind, content),) = value.items()
        found = decode_plain(kind, content, self.decode)
        if found is not NOT_PLAIN:
            return found
        if kind == "type" and content in DATA_TYPES:
            return DATA_TYPES[content]
        if kind == "exception":
            return _exception_class(content)
        if kind == "at" and (found := self.instances.get(-content)) is not None:
            return found
        if kind == "member":
            return self.setup_class(content[0])[content[1]]  # type: ignore[index]
        if kind == "made":
            return self._made(*content)
        return self.decode_object(kind, content)

    def decode_object(self, kind: str, content: Any) -> Any:
        """Return an object of the other end, or the object of this end that a number refers to."""
        raise GoneError(f"the program sent {kind!r}")

    def setup_class(self, name: str) -> type:
        """Return a class of the setup by its name.

        Raises:
            GoneError: there is no such class.
        """
        if name not in self.setup_classes:
            raise GoneError(f"the program sent an instance of {name!r}")
        return self.setup_classes[name]

    def with_instances(self, message: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Return a message with values, and the state of each instance of a setup class in these values."""
        self.pending, self.mentioned = [], set()
        for name, value in values.items():
            if name in ("a", "result"):
                message[name] = self.encode(value)
            elif name == "k":
                message[name] = {"dict": [[k, self.encode(v)] for k, v in value.items()]}
            else:
                message[name] = [None if item is None else self.encode(item) for item in value]
        states = []
        # The instances are encoded in a loop and not recursively: a linked list can exceed the recursion limit.
        while self.pending:
            key = self.pending.pop()
            value = self.instances[key]
            states.append([key, self.setup_name(type(value)), self.encode(_state(value))])
        if states:
            message["i"] = states
        return message

    def decode_instances(self, message: dict[str, Any]) -> None:
        """Update the instances of setup classes with the states in a message.

        Raises:
            GoneError: the message is invalid.
        """
        states = message.get("i", ())
        for key, name, _ in states:
            if -key not in self.instances:
                if key < 0:  # an instance of this end that was never sent
                    raise GoneError("the program sent an unknown instance")
                made: Any = object.__new__(self.setup_class(name))
                self.instances[-key], self.keys[id(made)] = made, -key
        for key, _, state in states:
            self.give_state(self.instances[-key], self.decode(state))

    def give_state(self, value: Any, state: dict[str, Any]) -> None:
        """Set the attributes of an instance of a setup class to those at the other end."""
        slots = _slots(type(value))
        for name, item in state.items():
            if name in slots:
                object.__setattr__(value, name, item)
        if hasattr(value, "__dict__"):
            own = value.__dict__
            own.clear()
            own.update({name: item for name, item in state.items() if name not in slots})

    def _made(self, name: str, content: Any, state: Any) -> Any:
        kind = self.setup_class(name)
        base = _extended(kind)
        if base is None:
            raise GoneError(f"the program sent a {name} made of data")
        data = base(self.decode(content))
        made: Any = base.__new__(kind, *([data] if base.__hash__ is not None else []))
        if base is list:
            list.extend(made, data)
        elif base in (dict, set):
            base.update(made, data)
        self.give_state(made, self.decode(state))
        return made


def _exception_class(name: Any) -> Any:
    kind = getattr(builtins, str(name), None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind
    raise GoneError(f"the program sent {name!r} for an exception")


def _extended(kind: type) -> Any:
    return next((base for base in BASES if base in kind.__mro__), None)


def _slots(kind: type) -> list[str]:
    found: list[str] = []
    for part in kind.__mro__:
        slots = vars(part).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _state(value: Any) -> dict[str, Any]:
    state = dict(getattr(value, "__dict__", {}))
    for name in _slots(type(value)):
        try:
            state[name] = object.__getattribute__(value, name)
        except AttributeError:
            continue
    return {name: item for name, item in state.items() if isinstance(name, str)}


def _replace(target: Any, after: Any) -> None:
    """Replace the content of a mutable argument by its content after the call."""
    if type(after) is not type(target) or after == target:
        return
    if isinstance(target, (list, bytearray)):
        target[:] = after
    else:
        target.clear()
        target.update(after)


def apply(what: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
    """Run an operation of the interpreter: a function of `operator`, or a built-in function.

    Args:
        what: the name of the operation.
        positional: its positional arguments.
        keywords: its keyword arguments.
    """
    if what == "operator":
        return getattr(operator, positional[0])(*positional[1:])
    return getattr(builtins, what)(*positional, **keywords)
