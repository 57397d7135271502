"""Encodes plain values as JSON-ready data and decodes them: the values that referee and candidate send by value.

A value is plain if its class is built in or in the standard library, and has no behaviour from the answer. The caller
passes the function for the parts, so that a container may contain values that are not plain.
"""

from __future__ import annotations

import importlib
import re
import sys

from stillhouse.verify.code.referee.wire import GoneError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SAFE_INTEGER = 1 << 53
MUTABLE = (list, dict, set, bytearray)
NOT_PLAIN = object()  # the result of `encode_plain` and `decode_plain` for any other value
DATES = ("date", "time", "datetime")
COUNTED = ("OrderedDict", "Counter")
VIEWS = ("dict_keys", "dict_values", "dict_items")
# The types of arrays of plain numbers, booleans and texts; arrays of objects are not plain.
ARRAY_TYPE = re.compile(r"[<>|=]?[biufcUS]\d+", re.ASCII)


def encode_plain(value: Any, part: Callable[[Any], Any]) -> Any:
    """Return a plain value as JSON-ready data, and NOT_PLAIN for any other value."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -SAFE_INTEGER < value < SAFE_INTEGER else {"int": hex(value)}
    if kind is float:
        return {"float": value.hex()}
    if kind is list:
        return [part(item) for item in value]
    if kind in (tuple, set, frozenset):
        return {kind.__name__: [part(item) for item in value]}
    if kind is dict:
        return {"dict": [[part(k), part(v)] for k, v in value.items()]}
    if kind in (bytes, bytearray):
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if kind in (range, slice):
        return {kind.__name__: [part(v) for v in (value.start, value.stop, value.step)]}
    home, name = getattr(kind, "__module__", None), kind.__name__
    if home == "builtins" and name in VIEWS:
        return {name: [part(item) for item in value]}
    if home in ("numpy", "collections", "datetime", "decimal", "fractions"):
        # A class can state any module as its own: only the real class counts.
        real = getattr(sys.modules.get(home), name, None)
        if real is kind or home == "numpy":
            return _encode_library(value, home, name, part)
    return NOT_PLAIN


def _encode_library(value: Any, home: str, name: str, part: Callable[[Any], Any]) -> Any:
    if home == "decimal" and name == "Decimal":
        return {name: str(value)}
    if home == "fractions" and name == "Fraction":
        return {name: [part(value.numerator), part(value.denominator)]}
    if home == "datetime" and name in DATES:
        return {name: value.isoformat()}
    if home == "datetime" and name == "timedelta":
        return {name: [value.days, value.seconds, value.microseconds]}
    if home == "collections" and name == "deque":
        return {name: [[part(item) for item in value], value.maxlen]}
    if home == "collections" and name in COUNTED:
        return {name: [[part(k), part(v)] for k, v in value.items()]}
    if home == "collections" and name == "defaultdict":
        return {name: [part(value.default_factory), [[part(k), part(v)] for k, v in value.items()]]}
    if home == "numpy":
        return _encode_array(value, name)
    return NOT_PLAIN


def _encode_array(value: Any, name: str) -> Any:
    numpy = sys.modules["numpy"]
    scalar = isinstance(value, numpy.generic)
    if (scalar or name == "ndarray") and ARRAY_TYPE.fullmatch(value.dtype.str):
        shape = None if scalar else list(value.shape)
        return {"array": [value.dtype.str, shape, value.tobytes().hex()]}
    return NOT_PLAIN


def decode_plain(kind: str, content: Any, part: Callable[[Any], Any]) -> Any:
    """Return the value that `encode_plain` encoded, and NOT_PLAIN for another kind.

    Args:
        kind: the kind of the value.
        content: its content.
        part: decodes the parts of a container.

    Raises:
        GoneError: the content is malformed.
    """
    try:
        make = _DECODERS.get(kind)
        return NOT_PLAIN if make is None else make(content, part)
    except (
        ArithmeticError,
        AttributeError,
        ImportError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise GoneError(f"the program sent a malformed {kind}") from error


def _pairs(content: Any, part: Callable[[Any], Any]) -> dict[Any, Any]:
    return {part(k): part(v) for k, v in content}


def _library(home: str, name: str) -> Any:
    return getattr(importlib.import_module(home), name)


def _default_dict(content: Any, part: Callable[[Any], Any]) -> Any:
    factory, pairs = content
    factory = part(factory)
    return _library("collections", "defaultdict")(
        factory if factory is None or isinstance(factory, type) else None, _pairs(pairs, part)
    )


def _array(content: Any, part: Callable[[Any], Any]) -> Any:
    kind, shape, data = content
    if not ARRAY_TYPE.fullmatch(kind):
        raise ValueError(kind)
    array = _library("numpy", "frombuffer")(bytearray.fromhex(data), dtype=kind)
    if shape is None:
        return array[0]
    array = array.reshape(shape)
    return array if array.size else array.view(_empty_kind())


def _empty_kind() -> Any:
    """Return the class of arrays without items, which are never broadcast to an array with items.

    By numpy's rules an empty array compared with one item gives an empty array, for which `all` is true.
    """
    numpy = sys.modules["numpy"]

    class Empty(numpy.ndarray):  # type: ignore[misc, name-defined]
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
            shapes = [numpy.shape(item) for item in inputs]
            if any(shape and 0 not in shape for shape in shapes):
                raise ValueError(f"an array without items cannot be compared with shape {shapes}")
            plain = [numpy.asarray(item) for item in inputs]
            return getattr(ufunc, method)(*plain, **options)

    Empty.__name__ = Empty.__qualname__ = "ndarray"
    return Empty


_DECODERS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "int": lambda content, part: int(content, 16),
    "float": lambda content, part: float.fromhex(content),
    "tuple": lambda content, part: tuple(map(part, content)),
    "set": lambda content, part: set(map(part, content)),
    "frozenset": lambda content, part: frozenset(map(part, content)),
    "dict": _pairs,
    "bytes": lambda content, part: bytes.fromhex(content),
    "bytearray": lambda content, part: bytearray.fromhex(content),
    "complex": lambda content, part: complex(*map(float.fromhex, content)),
    "range": lambda content, part: range(*map(part, content)),
    "slice": lambda content, part: slice(*map(part, content)),
    "dict_keys": lambda content, part: dict.fromkeys(map(part, content)).keys(),
    "dict_values": lambda content, part: dict(enumerate(map(part, content))).values(),
    "dict_items": lambda content, part: dict(map(part, content)).items(),
    "Decimal": lambda content, part: _library("decimal", "Decimal")(content),
    "Fraction": lambda content, part: _library("fractions", "Fraction")(*map(part, content)),
    "date": lambda content, part: _library("datetime", "date").fromisoformat(content),
    "time": lambda content, part: _library("datetime", "time").fromisoformat(content),
    "datetime": lambda content, part: _library("datetime", "datetime").fromisoformat(content),
    "timedelta": lambda content, part: _library("datetime", "timedelta")(*content),
    "deque": lambda content, part: _library("collections", "deque")(
        map(part, content[0]), content[1]
    ),
    "OrderedDict": lambda content, part: _library("collections", "OrderedDict")(
        _pairs(content, part)
    ),
    "Counter": lambda content, part: _library("collections", "Counter")(_pairs(content, part)),
    "defaultdict": _default_dict,
    "array": _array,
}


def plain(value: Any) -> Any:
    """Return the built-in value that an instance of a derived class extends.

    Raises:
        TypeError: the value extends no built-in value.
    """
    base = base_of(value)
    if base is None:
        raise TypeError(f"{type(value).__name__} is not plain data")
    return base(value)


def base_of(value: Any) -> Any:
    """Return the built-in class that the class of a value extends, or None."""
    for base in BASES:
        if isinstance(value, base) and base in type(value).__mro__:
            return base
    return None


BASES: tuple[Any, ...] = (int, float, str, bytes, tuple, list, dict, set, frozenset)
