"""Section on the attempts of the teachers: how many were made, accepted and passed."""

from collections.abc import Mapping
from typing import Any

from stillhouse.report import charts
from stillhouse.report.formats import integer, number, percent, share
from stillhouse.report.inputs import RunFiles
from stillhouse.report.page import Block, Figure, Table, Text
from stillhouse.report.tables import category_table


def attempts(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return the attempts of each teacher, and by category the accepted and the passed ones."""
    if not files.generate:
        return [Text("No attempts: the generate stage has left no metrics.")]
    made = files.generate
    rows = [
        {"teacher": teacher, "attempt": allowed, "share": share(answered, metrics["queries"])}
        for teacher, metrics in made.items()
        for allowed, answered in _answered_within(metrics)
    ]
    blocks: list[Block] = []
    if any(row["share"] is not None for row in rows):
        blocks.append(
            Figure(
                "Queries answered and accepted, by the number of attempts allowed.",
                charts.attempts(rows, names),
            )
        )
    blocks += [
        Table(
            "Attempts of each teacher",
            [
                "Teacher",
                "Queries",
                "Attempts",
                "Accepted",
                "Attempts per query",
                "Cut at the limit, %",
                "Ungradable by content",
                "By trouble of the machine",
            ],
            [_row(names[teacher], metrics) for teacher, metrics in made.items()],
        ),
        category_table(
            "Queries with an accepted answer, % (attempts per query)",
            {teacher: metrics["by_category"] for teacher, metrics in made.items()},
            names,
            lambda counts: (
                f"{percent(share(counts['accepted'], counts['queries']))} "
                f"({number(share(counts['attempts'], counts['queries']), 2)})"
            ),
        ),
    ]
    if files.verify:
        blocks.append(
            category_table(
                "Attempts that passed among those graded, % (ungradable, never counted as wrong)",
                {teacher: metrics["by_category"] for teacher, metrics in files.verify.items()},
                names,
                lambda counts: (
                    f"{percent(share(counts['pass'], counts['pass'] + counts['fail']))} "
                    f"({counts['ungradable']:,})"
                ),
            )
        )
    return blocks


def _row(name: str, metrics: Mapping[str, Any]) -> list[str]:
    queries, made, accepted = metrics["queries"], metrics["attempts"], metrics["accepted"]
    return [
        name,
        integer(queries),
        integer(made),
        f"{accepted:,} ({percent(share(accepted, queries))} %)",
        number(share(made, queries), 2),
        percent(share(metrics["truncated"], made)),
        _sum_with_parts(metrics["ungradable_by_kind"]["content"]),
        _sum_with_parts(metrics["ungradable_by_kind"]["machine"]),
    ]


def _sum_with_parts(reasons: Mapping[str, int]) -> str:
    """Return a sum with its parts: "3 (unread 2, too_complex 1)"."""
    if not reasons:
        return "0"
    parts = sorted(reasons.items(), key=lambda part: -part[1])
    return f"{sum(reasons.values()):,} ({', '.join(f'{name} {n:,}' for name, n in parts)})"


def _answered_within(metrics: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return (attempts allowed, queries accepted by then), from counts by attempt that start at 0."""
    by_attempt = {int(attempt): n for attempt, n in metrics["accepted_by_attempt"].items()}
    total, found = 0, []
    for attempt in range(max(by_attempt, default=-1) + 1):
        total += by_attempt.get(attempt, 0)
        found.append((attempt + 1, total))
    return found
