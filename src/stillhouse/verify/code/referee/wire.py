"""Messages between referee and candidate: JSON lines, and the exceptions that end a conversation.

Each import delays each answer by milliseconds: json, which imports half of the library, is represented by its C part.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MESSAGE_BYTES = 16 << 20
MAX_DETAIL_CHARS = 300


class Unsupported(BaseException):
    """A test does something that cannot be carried over to the candidate."""


class GoneError(BaseException):
    """The candidate's interpreter ended or broke the protocol; no `except Exception` of a test may hide that."""


class RemoteError(Exception):
    """An exception of the candidate that has no counterpart in the referee."""


class JsonRules:
    """What the scanner of JSON asks how to make values."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = float


parse_json = _json.make_scanner(JsonRules)  # type: ignore[arg-type]


def from_json(text: str) -> Any:
    """Return the value that a text begins with.

    Raises:
        GoneError: it is not JSON.
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


class suppress:  # noqa: N801  # contextlib's, whose import costs as much as all others here
    """Lets exceptions of some classes pass unseen."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return kind is not None and issubclass(kind, self.kinds)


def describe(error: BaseException) -> str:
    """Return the text of an exception, short, whatever its class does when asked."""
    try:
        return str(error)[:MAX_DETAIL_CHARS]
    except BaseException:
        return "its message cannot be read"
