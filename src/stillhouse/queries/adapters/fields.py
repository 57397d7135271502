"""What the adapters share: reading a row in a foreign layout, and finding the reference in a text."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.queries.faults import RowFaultError, shown

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def column(row: Mapping[str, Any], name: str) -> Any:
    """Return a value of a row, null where a table has NaN for a missing value.

    Raises:
        RowFaultError: the row has no such column.
    """
    if name not in row:
        raise RowFaultError(
            "invalid_value", f"no column {name!r} (columns there: {', '.join(map(str, row))})"
        )
    value = row[name]
    return None if isinstance(value, float) and math.isnan(value) else value


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a text of a row without space around it, empty for a null.

    Raises:
        RowFaultError: the row has no such column, or no text in it.
    """
    value = column(row, name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowFaultError("invalid_value", f"{name!r} is no text: {shown(value)}")
    return value.strip()


def mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a nested mapping of a row, which may be written as a JSON text.

    Raises:
        RowFaultError: the row has no such column, or no mapping in it.
    """
    value = decoded(column(row, name), name)
    if not isinstance(value, Mapping):
        raise RowFaultError("invalid_value", f"{name!r} is no mapping: {shown(value)}")
    return value


def sequence(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Return a list of a row, which may be written as a JSON text; empty for a null.

    Raises:
        RowFaultError: the row has no such column, or no list in it.
    """
    value = decoded(column(row, name), name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise RowFaultError("invalid_value", f"{name!r} is no list: {shown(value)}")
    return value


def turns(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the turns of a conversation as they are, {role, content} or {from, value}.

    Raises:
        RowFaultError: the row has no such column, or no list of mappings in it.
    """
    found = sequence(row, name)
    for turn in found:
        if not isinstance(turn, Mapping):
            raise RowFaultError("invalid_value", f"a turn of {name!r} is no mapping: {shown(turn)}")
    return [dict(turn) for turn in found]


def last_user_text(row: Mapping[str, Any], name: str) -> str:
    """Return the text of the last user turn of a conversation, empty where it has none.

    Raises:
        RowFaultError: the row has no such column, no list of turns in it, or no text in the turn.
    """
    for turn in reversed(turns(row, name)):
        if turn.get("role", turn.get("from")) in ("user", "human"):
            content = turn.get("content", turn.get("value"))
            if not isinstance(content, str):
                raise RowFaultError(
                    "invalid_value", f"the last user turn of {name!r} has no text: {shown(turn)}"
                )
            return content.strip()
    return ""


def decoded(value: Any, name: str) -> Any:
    """Return what a JSON text holds, and any other value as it is.

    Raises:
        RowFaultError: the text is not valid JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RowFaultError(
            "invalid_value", f"{name!r} is no JSON ({error}): {shown(value)}"
        ) from None


def boxed(solution: str) -> str | None:
    r"""Return the content of the last complete `\boxed{}` of a text, None if it has none."""
    for start in reversed([match.end() for match in _BOX.finditer(solution)]):
        depth = 1
        for position in range(start, len(solution)):
            character = solution[position]
            if character in "{}" and solution[position - 1] != "\\":
                depth += 1 if character == "{" else -1
            if depth == 0:
                return solution[start:position].strip() or None
    return None
