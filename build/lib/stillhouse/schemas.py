"""The Arrow schemas of the tables, derived from the row types."""

import functools
import types
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
import pyarrow as pa

from stillhouse.records import Row

_SCALARS: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


@functools.cache
def arrow_schema(row_type: type[Row]) -> pa.Schema:
    """Return the schema of a row type's table: its fields in their order, all nullable.

    Raises:
        TypeError: a field has a type that is neither a scalar, a list, a row type nor a TypedDict.
    """
    return pa.schema(_fields(row_type))


def _fields(of: Any) -> list[tuple[str, pa.DataType]]:
    return [
        (name, _arrow_type(hint)) for name, hint in get_type_hints(of, include_extras=True).items()
    ]


def _arrow_type(hint: Any) -> pa.DataType:
    """Return the Arrow type of a type hint. `Annotated` names another Arrow type, or the type to derive it from."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, pa.DataType):
        return hint
    if origin is Annotated:
        return _arrow_type(arguments[1])
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _arrow_type(inner)
    if origin is Literal:
        (kind,) = {type(value) for value in arguments}
        return _arrow_type(kind)
    if origin is list:
        return pa.list_(_arrow_type(arguments[0]))
    if is_typeddict(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return pa.struct(_fields(hint))
    if hint not in _SCALARS:
        raise TypeError(f"no Arrow type is known for {hint!r}")
    return _SCALARS[hint]
