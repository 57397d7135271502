"""Encodes the messages between referee and candidate as JSON lines, and defines the exceptions of the protocol.

Each import delays each answer by milliseconds. json imports many modules, so only its C part is used.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MESSAGE_BYTES = 16 << 20
MAX_DETAIL_CHARS = 300


class Unsupported(BaseException):
    """A test uses an operation that the protocol does not support."""


class GoneError(BaseException):
    """The candidate exited or broke the protocol. `except Exception` in a test must not hide this error."""


class RemoteError(Exception):
    """An exception of the candidate that has no counterpart in the referee."""


class JsonRules:
    """The functions with which the C scanner of JSON creates values."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = float


parse_json = _json.make_scanner(JsonRules)  # type: ignore[arg-type]


def from_json(text: str) -> Any:
    """Return the JSON value at the beginning of a text.

    Raises:
        GoneError: the text is not JSON.
    """
    try:
        return parse_json(text, 0)[0]
    except (StopIteration, ValueError, RecursionError) as error:
        raise GoneError("no JSON was sent") from error


def to_json(value: Any) -> bytes:
    """Return a value as JSON in ASCII."""
    escape = _json.encode_basestring_ascii
    encode: Any = _json.make_encoder
    encode = encode(None, None, escape, None, ": ", ", ", False, False, True)
    return "".join(encode(value, 0)).encode() + b"\n"


class suppress:  # noqa: N801  # as in contextlib, whose import takes as long as all other imports here
    """Suppresses exceptions of some classes."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return kind is not None and issubclass(kind, self.kinds)


def describe(error: BaseException) -> str:
    """Return the shortened text of an exception, also if its class raises an error meanwhile."""
    try:
        return str(error)[:MAX_DETAIL_CHARS]
    except BaseException:
        return "its message cannot be read"
