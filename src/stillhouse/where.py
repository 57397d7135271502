"""Selects rows of a file or Hub data set by the values of their columns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from stillhouse.errors import StillhouseError

# Of what a `where` that lets no row through is answered with.
SHOWN_VALUES = 10
SHOWN_CHARACTERS = 40

_Name = TypeVar("_Name")


def rows_where(
    rows: Iterable[tuple[_Name, Mapping[str, Any]]],
    where: Mapping[str, Any],
    place: str,
    error: type[StillhouseError],
) -> Iterator[tuple[_Name, Mapping[str, Any]]]:
    """Yield the rows that have the wanted values.

    Args:
        rows: the rows, each with its number or name.
        where: the wanted value of each column, or a list of them.
        place: what messages begin with: the source.
        error: the error that is raised.

    Raises:
        StillhouseError: of the type `error`: no row has the values.
    """
    wanted = {
        column: value if isinstance(value, list) else [value] for column, value in where.items()
    }
    columns: set[str] = set()
    found: dict[str, set[str]] = {column: set() for column in wanted}
    taken = 0
    for name, row in rows:
        if all(column in row and row[column] in values for column, values in wanted.items()):
            taken += 1
            yield name, row
        elif not taken:
            columns |= row.keys()
            for column, values in found.items():
                if column in row and len(values) < SHOWN_VALUES:
                    values.add(repr(row[column])[:SHOWN_CHARACTERS])
    if taken:
        return
    # A row that is taken has every column of `where`, so that a wrong name always ends here.
    if missing := wanted.keys() - columns:
        raise error(
            f"{place}: where: no row has the column {', '.join(sorted(missing))} "
            f"(columns there: {', '.join(sorted(columns)) or 'none'}); name one of these"
        )
    there = "; ".join(f"{column}: {', '.join(sorted(values))}" for column, values in found.items())
    raise error(
        f"{place}: where: no row has {dict(where)} (values there: {there}); name values that rows have"
    )
