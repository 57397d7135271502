"""Finds and selects rows of a file or Hub data set by the values of their columns.

A name leads into a column where it is no column itself: `reward_model.ground_truth` is the entry `ground_truth` of the
column `reward_model`, `turns.0.value` an entry of the first of its `turns`. A column on the way may be a JSON text.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from stillhouse.errors import StillhouseError
from stillhouse.params.base import Where

# Of what a `where` that lets no row through is answered with.
SHOWN_VALUES = 10
SHOWN_CHARACTERS = 40

_Name = TypeVar("_Name")


class _Missing:
    """The value of a column that a row does not have."""


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
            value = json_or_text(value)
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            # An empty parent is a row without a value; anything else has no such place.
            return None if value is None else MISSING
    return value


def json_or_text(text: str) -> Any:
    """Return what a JSON text says; other text as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class Selection:
    """Lets the rows through that `where` selects, and remembers what others had, for the error if there is no other.

    Args:
        where: the wanted value of each column, or a list of them.
        place: what messages begin with: the source.
        error: the type of the error.
    """

    def __init__(self, where: Where, place: str, error: type[StillhouseError]) -> None:
        self._where, self._place, self._error = where, place, error
        self._wanted = {
            column: value if isinstance(value, list) else [value] for column, value in where.items()
        }
        self._columns: set[str] = set()
        self._found: dict[str, set[str]] = {column: set() for column in where}

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has the wanted value in each of the columns."""
        if not self._wanted:
            return True
        values = {column: lookup(row, column) for column in self._wanted}
        if all(values[column] in wanted for column, wanted in self._wanted.items()):
            return True
        self._columns |= {column for column, value in values.items() if value is not MISSING}
        self._columns |= row.keys()
        for column, found in self._found.items():
            if values[column] is not MISSING and len(found) < SHOWN_VALUES:
                found.add(repr(values[column])[:SHOWN_CHARACTERS])
        return False

    def refuse_nothing(self) -> None:
        """Raise the error for a `where` that lets no row through."""
        if not self._wanted:
            return
        if missing := self._wanted.keys() - self._columns:
            raise self._error(
                f"{self._place}: where: no row has the column {', '.join(sorted(missing))} "
                f"(columns there: {', '.join(sorted(self._columns)) or 'none'}); name one of these"
            )
        there = "; ".join(
            f"{column}: {', '.join(sorted(values))}" for column, values in self._found.items()
        )
        raise self._error(
            f"{self._place}: where: no row has {self._where} (values there: {there}); "
            "name values that rows have"
        )


def rows_where(
    rows: Iterable[tuple[_Name, Mapping[str, Any]]],
    where: Where,
    place: str,
    error: type[StillhouseError],
) -> Iterator[tuple[_Name, Mapping[str, Any]]]:
    """Yield the rows that have the wanted values.

    Args:
        rows: the rows, each with its number or name.
        where: as in `Selection`.
        place: as in `Selection`.
        error: as in `Selection`.

    Raises:
        StillhouseError: of the type `error`: no row has the values.
    """
    selection = Selection(where, place, error)
    taken = False
    for name, row in rows:
        if selection.takes(row):
            taken = True
            yield name, row
    if not taken:
        selection.refuse_nothing()
