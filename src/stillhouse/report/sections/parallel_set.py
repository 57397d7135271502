"""Blocks on the parallel set: which queries it lost, whether its teachers differ, and how many rows may be wrong."""

from collections.abc import Mapping
from typing import Any

from stillhouse.report.formats import bracket, integer, number, percent, share
from stillhouse.report.inputs import RunFiles
from stillhouse.report.page import DASH, Block, Table, Text
from stillhouse.report.tables import category_table

WHOLE_ROWS = 10  # from here on expected rows have no decimals
# The divisions of `filter.survivors`, as captions and headers.
_DIVISIONS = {
    "source": ("source", "Source"),
    "pass_rate": (
        "pass rate over all teachers (attempts that passed, of those graded)",
        "Pass rate",
    ),
    "attempts": ("mean attempts per teacher", "Attempts"),
    "prompt_tokens": ("length of the prompt", "Prompt tokens"),
    "answer_tokens": ("length of the answers", "Tokens of an attempt"),
}


def survivors(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return which queries are in the parallel set by source, difficulty and length, and without each teacher.

    Args:
        files: the data of the run.
        names: display names by teacher id.
    """
    found = (files.align or {}).get("survivors")
    if not found:
        return []
    blocks: list[Block] = [
        Table(
            f"Survivorship by {_DIVISIONS[division][0]}",
            [_DIVISIONS[division][1], "Queries", "Parallel", "Survive, %"],
            [
                [
                    row["group"],
                    integer(row["queries"]),
                    integer(row["parallel"]),
                    percent(row["share"]),
                ]
                for row in rows
            ],
        )
        for division in _DIVISIONS
        for rows in [found.get(division, [])]
        if rows
    ]
    blocks.append(
        Text(
            "Lengths are means over all attempts of all teachers, each with its own tokenizer, in quarters of the "
            "queries. An ungradable attempt counts in no pass rate, so a query may be lost at 100 %: one teacher's "
            "attempts at it were ungradable, or dropped by the filter.",
            note=True,
        )
    )
    return blocks + _without(files, names)


def _without(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    align = files.align or {}
    without = align.get("without", {}).get("parallel")
    if not without:
        return []
    whole = align["parallel"]
    costliest = [names[teacher] for teacher in align["without"]["costliest"] if teacher in names]
    return [
        Table(
            "Size of the parallel set without each teacher",
            ["Left out", "Parallel", "More queries"],
            [
                ["nobody", integer(whole), DASH],
                *(
                    [names[teacher], integer(without[teacher]), f"{without[teacher] - whole:+,}"]
                    for teacher in names
                    if teacher in without
                ),
            ],
        ),
        Text(
            f"{' and '.join(costliest)} alone {'costs' if len(costliest) == 1 else 'cost'} most queries."
            if costliest
            else "No teacher alone costs a query."
        ),
    ]


def agreement(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return how far each two teachers agree in final answer and wording.

    Args:
        files: the data of the run.
        names: display names by teacher id.
    """
    align = files.align or {}
    rows = [row for row in align.get("agreement", ()) if row["compared"]]
    if not rows:
        return [Text("The parallel set is empty or has one teacher, so no two teachers agree.")]
    sampled = align["sampled"]
    return [
        Table(
            "Agreement of the teachers on the parallel set",
            [
                "Teachers",
                "Queries compared",
                "Same final answer, %",
                "Both by the reference",
                "Same of the others",
                "Identical traces, %",
                "Similarity, mean",
                "Median",
            ],
            [
                [
                    " / ".join(names[teacher] for teacher in row["pair"]),
                    integer(row["compared"]),
                    percent(share(row["same_answer"], row["compared"])),
                    integer(row["by_reference"]),
                    f"{row['same_answer'] - row['by_reference']:,} of "
                    f"{row['compared'] - row['by_reference']:,}",
                    percent(share(row["identical"], row["compared"])),
                    number(row["similarity_mean"], 3),
                    number(row["similarity_median"], 3),
                ]
                for row in rows
                if all(teacher in names for teacher in row["pair"])
            ],
        ),
        Text(
            "Two final answers are the same if a rule found both equal to the one reference, or else if their "
            "normalised texts are equal (maths and science: of the final answer; other categories: of the whole "
            "answer). Similarity is the Jaccard index of the "
            f"{sampled['shingle_tokens']}-grams of words in reasoning and answer, on the first "
            f"{sampled['queries']:,} queries by id at most. Teachers with identical traces cannot make different "
            "students.",
            note=True,
        ),
    ]


def wrong_rows(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return how many rows of each teacher are expected to be wrong, and the errors of the verifiers behind it.

    Args:
        files: the data of the run.
        names: display names by teacher id.
    """
    align = files.align or {}
    found = {t: own for t, own in align.get("wrong_rows", {}).items() if t in names}
    if not found:
        return []
    by_category = {teacher: own["by_category"] for teacher, own in found.items()}
    return [
        _errors(align["verifier_errors"]),
        Table(
            "Rows of the parallel set that are expected to be wrong, by teacher",
            [
                "Teacher",
                "Rows",
                "Only a judge accepted",
                "Expected wrong [at least 95 %]",
                "Of all rows, %",
                "Without an estimate",
            ],
            [
                [
                    names[teacher],
                    integer(own["rows"]),
                    integer(own["judge_alone"]),
                    _expected(own),
                    _share(own),
                    integer(own["unknown"]),
                ]
                for teacher, own in found.items()
            ],
        ),
        category_table(
            "Rows of the parallel set that are expected to be wrong, by category",
            by_category,
            names,
            lambda own: f"{_expected(own)} of {own['rows']:,}",
        ),
        Text(
            "From the errors above and each teacher's pass rate: with false accepts a, false rejects b and a share q "
            "of attempts that pass, a(1−b−q) / (q(1−a−b)) of the accepted answers are wrong. So a teacher that is "
            "right less often has more wrong rows under the same verifier. No false accept in a few hundred cases does "
            "not mean none: the intervals come from the numbers of cases (Clopper-Pearson). The rules were "
            "corrected against their golden cases, which are not of this run, so their errors on its answers may be "
            "larger: read the order of magnitude, and compare teachers by it.",
            note=True,
        ),
    ]


def _errors(measured: Mapping[str, Mapping[str, Any] | None]) -> Table:
    rows = []
    for verifier, parts in measured.items():
        cells = ["not measured"] * 2
        if parts is not None:
            cells = [_error(parts[kind]) for kind in ("false_accept", "false_reject")]
        rows.append([verifier, *cells])
    header = ["Verifier", "Wrong answers accepted, % [95 %]", "Right answers rejected, % [95 %]"]
    return Table("Measured errors of the verifiers that decided rows", header, rows)


def _error(part: Mapping[str, Any]) -> str:
    shown = f"{percent(part['share'])} {bracket(part['low'], part['high'])}"
    return f"{shown}, {part['found']:,} of {part['of']:,}"


def _expected(own: Mapping[str, Any]) -> str:
    shown = [
        DASH if rows is None else number(rows, 2 if rows < WHOLE_ROWS else 0)
        for rows in (own["expected"], own["low"], own["high"])
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _share(own: Mapping[str, Any]) -> str:
    if not own["rows"]:
        return DASH
    middle = None if own["expected"] is None else own["expected"] / own["rows"]
    return f"{percent(middle)} {bracket(own['low'] / own['rows'], own['high'] / own['rows'])}"
