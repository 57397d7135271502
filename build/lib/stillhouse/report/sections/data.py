"""Sections on the data: mixture and lengths of the parallel set, and perplexity before and after the filter."""

from collections.abc import Mapping

from stillhouse.records import CATEGORIES
from stillhouse.report import charts
from stillhouse.report.formats import percent
from stillhouse.report.material import AnalysisRows
from stillhouse.report.page import DASH, Block, Figure, Table, Text
from stillhouse.report.tables import box_table


def mixture(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    """Return the share of rows and of generated tokens by category."""
    if not figures.mixture:
        return [Text("The parallel set is empty or was not made, so it has no mixture.")]
    found = {(row["category"], row["teacher"]): row for row in figures.mixture}
    body = []
    for category in CATEGORIES:
        rows = [found.get((category, teacher)) for teacher in names]
        first = next((row for row in rows if row is not None), None)
        if first is None:
            continue
        tokens = (
            f"{row['tokens']:,} ({percent(row['token_share'])} %)" if row else DASH for row in rows
        )
        body.append([category, f"{first['rows']:,} ({percent(first['row_share'])} %)", *tokens])
    return [
        Figure(
            "Share of rows and of generated tokens by category. Rows are the same for every teacher.",
            charts.mixture(figures.mixture, names),
        ),
        Table(
            "Rows of the parallel set, and generated tokens by teacher",
            ["Category", "Rows", *names.values()],
            body,
        ),
    ]


def lengths(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    """Return the distribution of generated tokens per response."""
    if not any(row["rows"] for row in figures.lengths):
        return [Text("The parallel set is empty or was not made, so there are no lengths.")]
    blocks: list[Block] = [
        Figure(
            "Generated tokens per response in the parallel set: 5 to 95 % (line), quartiles (box), median (bar), "
            "mean (diamond).",
            charts.boxes(
                figures.lengths, names, by="category", key="lengths", title="generated tokens"
            ),
        ),
    ]
    if figures.histogram:
        blocks.append(
            Figure(
                "Generated tokens per response, in equal bins.",
                charts.histogram(figures.histogram, names),
            )
        )
    blocks.append(
        box_table(
            "Generated tokens per response", "Category", "category", figures.lengths, names, 0
        )
    )
    return blocks


def perplexity(figures: AnalysisRows, names: Mapping[str, str]) -> list[Block]:
    """Return the distribution of perplexity before and after the filter."""
    if not any(row["rows"] for row in figures.perplexity):
        return [Text("No perplexity was measured.")]
    return [
        Figure(
            "Perplexity of the responses under the scorer: of the attempts that passed verification, and of "
            "those kept by the filter. Logarithmic axis; parts as in the plot of lengths.",
            charts.boxes(
                figures.perplexity, names, by="step", key="perplexity", title="perplexity", log=True
            ),
        ),
        box_table(
            "Perplexity before and after the filter",
            "Responses",
            "step",
            figures.perplexity,
            names,
            2,
        ),
        Text(
            "The cut differs by teacher and the filter keeps one response per query, so the filter lowers the mean. "
            "Compare teachers on the attempts that passed.",
            note=True,
        ),
    ]
