"""Sections on the queries: what the queries stage kept, and how many are left after each later stage."""

from collections.abc import Mapping
from typing import Any

from stillhouse.report import charts
from stillhouse.report.formats import count, integer, percent, share
from stillhouse.report.inputs import RunFiles
from stillhouse.report.page import Block, Figure, Table, Text
from stillhouse.report.summary import funnel_rows
from stillhouse.report.tables import by_category, count_table, reason_table


def funnel(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return the queries left after each stage, why responses were dropped, and which queries the parallel set lost."""
    rows = funnel_rows(files)
    if not rows:
        return [Text("No funnel: the filter stage has left no metrics.")]
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    left = {(row["teacher"], row["stage"]): row["rows"] for row in rows}
    blocks: list[Block] = [
        Figure(
            "Queries left after each stage. Parallel: kept for every compared teacher, hence equal for all. Fit: "
            "short enough for the student for every teacher; the students are trained on these.",
            charts.funnel(rows, names),
        ),
        Table(
            "Queries left after each stage",
            ["Teacher", *(stage.capitalize() for stage in stages)],
            [
                [names[teacher], *(integer(left.get((teacher, stage))) for stage in stages)]
                for teacher in names
                if teacher in files.filter
            ],
        ),
        reason_table(
            "Responses dropped by the filter, by reason",
            {teacher: metrics["dropped"] for teacher, metrics in files.filter.items()},
            names,
        ),
        *_repetition(files, names),
        *_too_long(files, names),
    ]
    survivorship = (files.align or {}).get("survivorship")
    if survivorship:
        blocks += [
            Table(
                "Survivorship: which kinds of query the parallel set loses",
                ["Category", "Queries", "Parallel", "Survive, %"],
                [
                    [
                        category,
                        integer(counts["queries"]),
                        integer(counts["parallel"]),
                        percent(share(counts["parallel"], counts["queries"])),
                    ]
                    for category, counts in by_category(survivorship)
                ],
            ),
            Text(
                "A query is lost if one teacher fails on it, so the parallel set has more of the queries that the "
                "weakest teacher can answer.",
                note=True,
            ),
        ]
    return blocks


def _too_long(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return whose rows are too long for a student, and what the students are trained on."""
    if not files.fit:
        return []
    return [
        Table(
            "Rows of the parallel set in the students' tokens",
            ["Student", "Teacher", "Limit", "Too long", "Fit for all", "Trained on", "Loss tokens"],
            [
                [
                    student,
                    names[teacher],
                    integer(fit["max_length"]),
                    integer(count),
                    integer(fit["fits_all"]),
                    integer(fit["trained"][teacher]["rows"]),
                    integer(fit["trained"][teacher]["loss_tokens"]),
                ]
                for student, fit in files.fit.items()
                for teacher, count in fit["too_long"].items()
            ],
            labels=2,
        ),
        Text(
            "A query whose row is too long for one teacher's student is left out for all, so that all students of a "
            "family are trained on the same queries.",
            note=True,
        ),
    ]


def _repetition(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return what the n-gram filter drops of each teacher: a formulaic teacher loses more."""
    found = {
        teacher: files.filter[teacher]["repetition"]
        for teacher in names
        if files.filter.get(teacher, {}).get("repetition")
    }
    if not found:
        return []
    return [
        Table(
            "Responses dropped for n-grams that occur too often",
            ["Teacher", "Compared", "Limit", "Looping", "Copies", "Dropped, %"],
            [
                [
                    names[teacher],
                    integer(counts["responses"]),
                    integer(counts["limit"]),
                    integer(counts["looping"]),
                    integer(counts["copies"]),
                    percent(share(counts["looping"] + counts["copies"], counts["responses"])),
                ]
                for teacher, counts in found.items()
            ],
        ),
        Text(
            "Limit: how many responses may share an n-gram. Looping: the response has an n-gram too often by itself. "
            "Copies: it shares a frequent n-gram with a response that was kept.",
            note=True,
        ),
    ]


def queries(files: RunFiles) -> list[Block]:
    """Return the queries that were loaded, kept and rejected, by category, source and reason."""
    if files.queries is None:
        return [Text("No query figures: the queries stage has left no metrics.")]
    found = files.queries
    return [
        Text(
            f"{found['kept']:,} of {count(found['loaded'], 'loaded query', 'loaded queries')} were kept."
        ),
        Table(
            "Queries by category",
            ["Category", "Loaded", "Kept"],
            [
                [category, integer(counts["loaded"]), integer(counts["kept"])]
                for category, counts in by_category(found["by_category"])
            ],
        ),
        Table(
            "Queries by source",
            ["Source", "Category", "Licence", "Rows rejected", "Not selected", "Loaded", "Kept"],
            [
                [
                    source,
                    counts["category"],
                    ", ".join(counts["licenses"]),
                    integer(sum(counts["rows_rejected"].values())),
                    integer(sum(counts["not_selected"].values())),
                    integer(counts["loaded"]),
                    integer(counts["kept"]),
                ]
                for source, counts in sorted(found["by_source"].items())
            ],
            labels=3,
        ),
        count_table(
            "Rows that could not become queries, by reason", "Reason", found["rows_rejected"]
        ),
        count_table("Queries rejected, by reason", "Reason", found["rejected"]),
        count_table(
            "Queries that overlap a benchmark, and were rejected",
            "Benchmark",
            found["contamination"],
        ),
        *_warnings(found),
    ]


def _warnings(found: dict[str, Any]) -> list[Block]:
    """Return what the queries were not compared with, and how many duplicates have different references."""
    blocks: list[Block] = []
    if found.get("not_compared"):
        blocks.append(
            Text(
                "The queries were not compared with these benchmarks, whose items may be among them: "
                f"{', '.join(found['not_compared'])}."
            )
        )
    if found.get("conflicts"):
        blocks.append(
            count_table(
                "Pairs of duplicate queries with different references",
                "Sources",
                found["conflicts"],
            )
        )
    return blocks
