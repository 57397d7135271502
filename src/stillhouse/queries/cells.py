"""Reads a cell of a row as text, as a list or as a mapping."""

import math
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from stillhouse.queries.faults import RowFaultError, RowReason, shown
from stillhouse.queries.text import nfc
from stillhouse.where import json_or_text

# Characters without width, of which a blank cell may consist: zero-width spaces and joiners, the byte order mark.
_NO_WIDTH = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])


def unpacked(value: Any) -> Any:
    """Return the list or mapping that a cell holds as a JSON text; other cells as they are."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return json_or_text(value)
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
