"""The tables of scores, and the chart."""

from collections.abc import Mapping
from typing import Any

from stillhouse.analysis.answered import ALL_STUDENTS, MEAN_TASK
from stillhouse.analysis.conditions import UNTRAINED
from stillhouse.analysis.intervals import FEWEST_ITEMS, FEWEST_SEEDS
from stillhouse.analysis.pairs import CONTROL, TEACHERS
from stillhouse.report import charts
from stillhouse.report.formats import bracket, number, percent, points
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import AnalysisRows, Rows, Settings, with_controls
from stillhouse.report.page import DASH, Block, Figure, Table, Text

_SCORES = (
    "Strict: an answer cut at the token limit scores 0. Lenient: a cut answer counts if its reasoning is closed and "
    "its result is already marked; the closest to published pass@1. Finished: cut answers are left out, and with them "
    "every item without a finished answer. Unread: answers that the verifier could not read; they score 0."
)


def score_blocks(
    files: RunFiles, figures: AnalysisRows, settings: Settings, names: Mapping[str, str]
) -> list[Block]:
    """Return tables 1 (scores), 2 (tokens) and 3 (all three scores), the paired differences, and the method.

    Args:
        files: the data of the run.
        figures: the rows of the analyses.
        settings: the parameters of the run.
        names: display names by teacher id.
    """
    if not files.student_ids:
        return [
            Text("This run has no students (student_ids is empty), so nothing was benchmarked.")
        ]
    labels = with_controls(names)
    missing = [
        f"{labels[one.teacher]} / {one.student} / seed {one.seed}"
        for one in files.trained
        if one not in files.samples
    ]
    blocks: list[Block] = []
    if missing:
        blocks.append(Text(f"No benchmark answers were found for {'; '.join(missing)}."))
    known = {one.teacher for one in files.samples}
    shown = {i: label for i, label in labels.items() if i in [*settings.ranked, UNTRAINED]}
    shown = {i: label for i, label in shown.items() if i != UNTRAINED or i in known}
    students = list(dict.fromkeys(row["student"] for row in figures.scores))
    charted = [student for student in students if student == ALL_STUDENTS] or students
    level = f"{100 * settings.report.confidence:g} %"
    decides = settings.benchmark.score
    for student in charted:
        rows = _of(figures.scores, student, shown)
        labelled = [dict(row, task=_task(row["task"])) for row in rows]
        if any(row["score"] is not None for row in rows):
            caption = (
                f"pass@1 ({decides} score) with {level} intervals, {_student(student)}. "
                "The point is the score, the line the interval."
            )
            blocks.append(Figure(caption, charts.scores(labelled, shown)))
    for student in students:
        rows = _of(figures.scores, student, shown)
        against = {
            (row["task"], row["first"]): row
            for row in figures.paired
            if (row["family"], row["student"]) == (UNTRAINED, student)
        }
        blocks += [
            _scores(
                f"Table 1. pass@1 in % ({decides} score) with {level} intervals, {_student(student)}",
                rows,
                shown,
                against,
            ),
            _lengths(
                f"Table 2. Mean generated tokens (share cut at the limit), {_student(student)}",
                rows,
                shown,
            ),
            _side_by_side(
                f"Table 3. The three scores side by side, pass@1 in %, {_student(student)}",
                rows,
                shown,
                against,
            ),
        ]
    for family, caption in (
        (TEACHERS, f"Paired differences over the same items, {level} for all pairs of a benchmark"),
        (CONTROL, f"Controls against their teachers, {level} each"),
    ):
        if found := [row for row in figures.paired if row["family"] == family]:
            blocks.append(_paired_table(caption, found, labels))
    if figures.scores:
        blocks.append(_method(settings, figures))
    return blocks


def _of(rows: Rows, student: str, shown: Mapping[str, str]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["student"] == student and row["teacher"] in shown]


def _in_order(rows: Rows, names: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return the rows by task, and by teacher in the order of the names."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    found = {(row["task"], row["teacher"]): row for row in rows}
    order = [(task, teacher) for task in tasks for teacher in names]
    return [found[key] for key in order if key in found]


def _scores(
    caption: str, rows: Rows, names: Mapping[str, str], against: Mapping[Any, Mapping[str, Any]]
) -> Table:
    """Return the deciding score with its interval, and where several trainings are, how far they differ."""
    several = any(row["seeds"] > 1 for row in rows)
    header = ["Benchmark", "Teacher", "Score", "Interval"]
    header += ["Against untrained"] * bool(against)
    header += ["Trainings", "SD between them, points", "Variance by training, %"] * several
    body = [
        [
            _task(row["task"]),
            names[row["teacher"]],
            percent(row["score"]),
            bracket(row["low"], row["high"]) or f"{DASH} ({row['without_interval']})",
            *([_gain(against.get((row["task"], row["teacher"])))] if against else []),
            *([f"{row['seeds']}"] if several else []),
            *([percent(row[key]) for key in ("seed_sd", "seed_share")] if several else []),
            f"{row['items']:,}",
            f"{row['samples']:,}",
        ]
        for row in _in_order(rows, names)
    ]
    return Table(caption, [*header, "Items", "Answers"], body, labels=2)


def _gain(row: Mapping[str, Any] | None) -> str:
    """Return a difference and its interval, marked where it is significant."""
    if row is None or row["difference"] is None:
        return DASH
    mark = "*" if row["significant"] else ""
    interval = bracket(row["low"], row["high"], signed=True)
    return f"{points(row['difference'])}{mark} {interval}".strip()


def _lengths(caption: str, rows: Rows, names: Mapping[str, str]) -> Table:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    found = {(row["task"], row["teacher"]): row for row in rows}
    body = []
    for task in tasks:
        cells = []
        for teacher in names:
            row = found.get((task, teacher))
            text = DASH
            if row is not None and row["samples"]:
                text = f"{number(row['mean_tokens'])} ({percent(row['truncated'])} %)"
            cells.append(text)
        body.append([_task(task), *cells])
    return Table(caption, ["Benchmark", *names.values()], body)


def _side_by_side(
    caption: str, rows: Rows, names: Mapping[str, str], against: Mapping[Any, Mapping[str, Any]]
) -> Table:
    header = ["Benchmark", "Teacher", "Strict", "Lenient", "Finished", "Items finished", "Cut, %"]
    header += ["Unread, %", *(["Against untrained"] if against else [])]
    body = [
        [
            _task(row["task"]),
            names[row["teacher"]],
            *(percent(row[key]) for key in ("strict", "lenient", "finished")),
            f"{row['finished_items']:,}",
            *(percent(row[key]) for key in ("truncated", "unread")),
            *([_gain(against.get((row["task"], row["teacher"])))] if against else []),
        ]
        for row in _in_order(rows, names)
    ]
    return Table(caption, header, body, labels=2)


def _paired_table(caption: str, rows: Rows, names: Mapping[str, str]) -> Table:
    several = any(row["seeds"] > 1 for row in rows)
    body = [
        [
            _task(row["task"]),
            f"{names[row['first']]} minus {names[row['second']]}",
            row["student"] if row["student"] != ALL_STUDENTS else "all students",
            points(row["difference"]),
            bracket(row["low"], row["high"], signed=True) or f"{DASH} ({row['without_interval']})",
            "yes" if row["significant"] else "no",
            points(row["detectable"]).removeprefix("+"),
            *([percent(row["seed_share"])] if several else []),
        ]
        for row in rows
    ]
    header = ["Benchmark", "Teachers", "Student", "Points", "Interval", "Significant"]
    header += ["Found with 80 % power, points", *(["Variance by training, %"] if several else [])]
    return Table(caption, header, body, labels=3)


def _method(settings: Settings, figures: AnalysisRows) -> Text:
    untrained = any(row["family"] == UNTRAINED for row in figures.paired)
    gains = (
        " Differences to the untrained student are corrected for the number of teachers; * marks one that is "
        "significant."
        if untrained
        else ""
    )
    return Text(
        "The answers to one item are one cluster. Scores have Wilson intervals over items with a t quantile and an "
        f"effective number of items; differences are paired by item. From {FEWEST_SEEDS} trainings on, both also count "
        "how far trainings with other seeds differ; with fewer they are about these trained students. All pairs of a "
        "benchmark are corrected together by the studentised range; the number of benchmarks is not corrected for."
        f"{gains} A benchmark of fewer than {FEWEST_ITEMS} items has no interval. docs/reference/statistics.md "
        f"says how often these intervals hold the truth. {_SCORES} Headline, table 1 and all differences use the "
        f"{settings.benchmark.score} score.",
        note=True,
    )


def _task(task: str) -> str:
    return "Mean of benchmarks" if task == MEAN_TASK else task


def _student(student: str) -> str:
    return "mean over all students" if student == ALL_STUDENTS else f"student {student}"
