"""Finds the values of a query's columns in a row, and reads a cell as text.

A name of `columns` leads into a column where it is no column itself: `reward_model.ground_truth` is the entry
`ground_truth` of the column `reward_model`, `turns.0.value` an entry of the first of its `turns`. A column on the way
may be a JSON text.
"""

import json
import math
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from stillhouse.queries.faults import RowFaultError, RowReason, shown
from stillhouse.queries.text import nfc

# Characters without width, of which a blank cell may consist: zero-width spaces and joiners, the byte order mark.
_NO_WIDTH = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])


class _Missing:
    """Stands for a value that a row does not have."""


MISSING = _Missing()


def lookup(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, or of a place within one; `MISSING` where the row has no such column."""
    if name in row:
        return row[name]
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        column = ".".join(parts[:split])
        if column in row:
            return _within(row[column], parts[split:])
    return MISSING


def _within(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, str):
            value = _json(value)
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            # An empty parent is a row without a value; anything else has no such place.
            return None if value is None else MISSING
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def unpacked(value: Any) -> Any:
    """Return the list or mapping that a cell holds as a JSON text; other cells as they are."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return _json(value)
    return value


def is_blank(value: Any) -> bool:
    """Return whether a cell holds nothing: null, NaN, an empty list or mapping, or text without visible signs."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str):
        return not value.translate(_NO_WIDTH).strip()
    return isinstance(value, list | Mapping) and not value


def text_of(value: Any, reason: RowReason) -> str | None:
    """Return a cell as text in NFC, null where it is blank. A number is a fair way to write a text.

    Args:
        value: the cell.
        reason: of the fault, if it is neither.

    Raises:
        RowFaultError: another type, an infinite number or a whole one of thousands of digits, or no Unicode.
    """
    if is_blank(value):
        return None
    if isinstance(value, str):
        return nfc(encodable(value, reason))
    if isinstance(value, bool):
        return str(value)
    finite = not isinstance(value, float | Decimal) or math.isfinite(value)
    if isinstance(value, int | float | Decimal) and finite:
        try:
            return str(value)
        except ValueError:  # Python writes no whole number of more than 4300 digits
            raise RowFaultError(reason, shown(value)) from None
    raise RowFaultError(reason, f"text or a number was expected, found {shown(value)}")


def encodable(text: str, reason: RowReason) -> str:
    """Return the text; a lone surrogate is no text, and no table can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowFaultError(reason, f"no Unicode text: {error.reason}: {shown(text)}") from None
    return text


def folded_name(name: str) -> str:
    """Return a name of a language or role without differences of case and form."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
