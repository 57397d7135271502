"""Tables that several sections of the report have: by category, by reason, of counts, and of box-plot figures."""

from collections.abc import Callable, Mapping
from typing import Any

from stillhouse.records import CATEGORIES
from stillhouse.report.formats import integer, number
from stillhouse.report.material import Rows
from stillhouse.report.page import DASH, Block, Table, Text


def by_category(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the categories that are there, in their order, each with its figures."""
    return [(category, found[category]) for category in CATEGORIES if category in found]


def category_table(
    caption: str,
    by_teacher: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    cell: Callable[[Any], str],
) -> Table:
    """Return a table with one row per category and one column per teacher.

    Args:
        caption: the caption of the table.
        by_teacher: the figures of each category, by teacher.
        names: display names by teacher id.
        cell: returns the text of a cell from the figures of a category.
    """
    teachers = [teacher for teacher in names if teacher in by_teacher]
    categories = [
        category
        for category in CATEGORIES
        if any(category in by_teacher[teacher] for teacher in teachers)
    ]
    body = [
        [
            category,
            *(
                cell(by_teacher[teacher][category]) if category in by_teacher[teacher] else DASH
                for teacher in teachers
            ),
        ]
        for category in categories
    ]
    return Table(caption, ["Category", *(names[teacher] for teacher in teachers)], body)


def reason_table(
    caption: str, by_teacher: Mapping[str, Mapping[str, int]], names: Mapping[str, str]
) -> Block:
    """Return a table with one row per reason and one column per teacher, or a text if there are no reasons.

    Args:
        caption: the caption of the table.
        by_teacher: the count of each reason, by teacher.
        names: display names by teacher id.
    """
    teachers = [teacher for teacher in names if teacher in by_teacher]
    reasons = sorted({reason for teacher in teachers for reason in by_teacher[teacher]})
    if not reasons:
        return Text(f"{caption}: none.")
    body = [
        [reason, *(integer(by_teacher[teacher].get(reason, 0)) for teacher in teachers)]
        for reason in reasons
    ]
    return Table(caption, ["Reason", *(names[teacher] for teacher in teachers)], body)


def count_table(caption: str, label: str, counts: Mapping[str, int]) -> Block:
    """Return a table of counts of queries, or a text if all are 0.

    Args:
        caption: the caption of the table.
        label: the header of the names.
        counts: the counts by name.
    """
    if not any(counts.values()):
        return Text(f"{caption}: none.")
    body = [[name, integer(queries)] for name, queries in sorted(counts.items())]
    return Table(caption, [label, "Queries"], body)


def box_table(
    caption: str, label: str, by: str, rows: Rows, names: Mapping[str, str], digits: int
) -> Table:
    """Return the figures of box plots as a table.

    Args:
        caption: the caption of the table.
        label: the header of the groups.
        by: the column of `rows` that groups; groups stay in the order of the rows.
        rows: rows of `by`, teacher, rows, and the figures of a box plot.
        names: display names by teacher id.
        digits: decimals of the figures.
    """
    keys = ("mean", "p5", "p25", "p50", "p75", "p95", "max")
    groups = list(dict.fromkeys(row[by] for row in rows))
    ordered = sorted(rows, key=lambda row: groups.index(row[by]))
    body = [
        [
            row[by],
            names[row["teacher"]],
            integer(row["rows"]),
            *(number(row[key], digits) for key in keys),
        ]
        for row in ordered
    ]
    shares = ["Mean", "5\u00a0%", "25\u00a0%", "Median", "75\u00a0%", "95\u00a0%", "Max"]
    return Table(caption, [label, "Teacher", "Rows", *shares], body, labels=2)
