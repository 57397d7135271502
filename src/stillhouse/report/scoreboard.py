"""The headline of the report, and the tables of scores."""

from collections.abc import Callable, Mapping
from typing import Any

from stillhouse.analysis.scores import ALL_STUDENTS, MEAN_TASK
from stillhouse.params.teacher import Teacher
from stillhouse.report import charts
from stillhouse.report.formats import bracket, count, number, percent, points, share
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import AnalysisRows, Rows, Settings, teacher_names, with_controls
from stillhouse.report.page import DASH, Block, Figure, Table, Text
from stillhouse.report.summary import rows_of_mean

_SCORES = (
    "Strict: an answer cut at the token limit scores 0. Lenient: a cut answer counts if its reasoning is closed and "
    "its result is already marked; the closest to published pass@1. Finished: cut answers are left out, and with them "
    "every item without a finished answer. Unread: answers that the verifier could not read; they score 0."
)
FEW_ITEMS = 30  # with fewer, intervals of a percentile bootstrap are visibly too narrow


def headline(files: RunFiles, figures: AnalysisRows, settings: Settings) -> list[str]:
    """Return the sentences that say which teacher is best, and whether its lead is significant.

    Args:
        files: the data of the run.
        figures: the rows of the analyses.
        settings: the parameters of the run.
    """
    names = teacher_names(settings.teachers)
    sentences = []
    students = list(files.student_ids)
    if len(students) > 1:
        students.insert(0, ALL_STUDENTS)
    if not students:
        sentences.append(
            "No student was trained in this run, so it cannot say which teacher's traces make the better student."
        )
    for student in students:
        compared = {teacher: names[teacher] for teacher in files.compared_ids}
        sentences += _verdict_on(student, figures, settings, compared)
    if files.student_ids and figures.scores:
        sentences.append(
            "The intervals cover the choice of benchmark items. They do not cover another training run: each student "
            "was trained once per teacher."
        )
    if files.align is not None:
        sentences.append(
            f"Of {count(files.align['queries'], 'query', 'queries')}, {files.align['parallel']:,} "
            f"({percent(share(files.align['parallel'], files.align['queries']))} %) were answered by every compared "
            "teacher and passed every filter: these are the parallel set."
        )
    return sentences + _same_model(settings.teachers, names)


def _verdict_on(
    student: str, figures: AnalysisRows, settings: Settings, names: Mapping[str, str]
) -> list[str]:
    """Return who scored best with one student, and which leads are significant."""
    who = "over all students" if student == ALL_STUDENTS else f"with student {student}"
    rows = [row for row in rows_of_mean(figures.scores) if row["student"] == student]
    if not rows or any(row["score"] is None for row in rows) or len(rows) < len(names):
        return [
            f"No answer {who}: the student of some teacher has no benchmark scores, or no valid ones."
        ]
    rows.sort(key=lambda row: -row["score"])
    best = rows[0]
    first = [names[row["teacher"]] for row in rows if row["score"] == best["score"]]
    interval = _in_words(best["low"], best["high"], settings)
    gave = "gave the best score" if len(first) == 1 else "share the best score"
    sentences = [
        f"{who[0].upper()}{who[1:]}, the traces of {' and '.join(first)} {gave}: "
        f"{percent(best['score'])} % pass@1 ({settings.benchmark.score} score) on average over "
        f"{count(len(settings.benchmark.tasks), 'benchmark')}"
        f"{f' ({interval})' if interval else ''}."
    ]
    leader = names[best["teacher"]]
    significant: list[str] = []
    doubtful: list[str] = []
    unknown = False
    for row in rows[1:]:
        lead = _lead(figures, student, best["teacher"], row["teacher"])
        interval = _in_words(lead["low"], lead["high"], settings, signed=True)
        text = (
            f"{names[row['teacher']]} ({points(lead['difference']).removeprefix('+')} points"
            f"{', ' if interval else ''}{interval})"
        )
        (significant if lead["significant"] else doubtful).append(text)
        unknown = unknown or lead["low"] is None
    if significant:
        sentences.append(
            f"The lead of {leader} over {' and over '.join(significant)} is significant: "
            "the paired interval excludes 0."
        )
    if doubtful:
        sentences.append(
            f"The lead of {leader} over {' and over '.join(doubtful)} is not significant: the paired interval "
            f"{'includes 0 or cannot be estimated' if unknown else 'includes 0'}."
        )
    if len(rows) == 1:
        sentences.append("There is no other teacher to compare it with.")
    return sentences


def _lead(figures: AnalysisRows, student: str, first: str, second: str) -> dict[str, Any]:
    """Return the paired row of two teachers, turned so that `first` is its first teacher."""
    for row in rows_of_mean(figures.paired):
        if row["student"] != student:
            continue
        if (row["first"], row["second"]) == (first, second):
            return dict(row)
        if (row["first"], row["second"]) == (second, first):
            return _turned(row)
    return {"difference": None, "low": None, "high": None, "significant": False}


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    def minus(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    return {
        "difference": minus(row["difference"]),
        "low": minus(row["high"]),
        "high": minus(row["low"]),
        "significant": row["significant"],
    }


def _same_model(teachers: Mapping[str, Teacher], names: Mapping[str, str]) -> list[str]:
    """Return a sentence for each model that is several teachers."""
    by_model: dict[tuple[str, str], list[str]] = {}
    for teacher_id, teacher in teachers.items():
        if teacher.engine != "replay":
            by_model.setdefault((teacher.model, teacher.revision), []).append(names[teacher_id])
    return [
        f"{' and '.join(same)} are one model in {len(same)} settings, not {len(same)} models."
        for same in by_model.values()
        if len(same) > 1
    ]


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
    students = list(dict.fromkeys(row["student"] for row in figures.scores))
    shown = [student for student in students if student == ALL_STUDENTS] or students
    level = f"{100 * settings.report.confidence:g} %"
    decides = settings.benchmark.score
    for student in shown:
        rows = [row for row in figures.scores if row["student"] == student]
        labelled = [dict(row, task=_task(row["task"])) for row in rows]
        if any(row["score"] is not None for row in rows):
            caption = (
                f"pass@1 ({decides} score) with {level} intervals, {_student(student)}. "
                "The point is the score, the line the interval."
            )
            blocks.append(Figure(caption, charts.scores(labelled, names)))
    for student in students:
        rows = [row for row in figures.scores if row["student"] == student]
        blocks += [
            _by_task(
                f"Table 1. pass@1 in % ({decides} score) with {level} intervals, {_student(student)}",
                rows,
                names,
                lambda row: f"{percent(row['score'])} {bracket(row['low'], row['high'])}".strip(),
            ),
            _by_task(
                f"Table 2. Mean generated tokens (share cut at the limit), {_student(student)}",
                rows,
                names,
                lambda row: (
                    f"{number(row['mean_tokens'])} ({percent(row['truncated'])} %)"
                    if row["samples"]
                    else DASH
                ),
            ),
            _side_by_side(
                f"Table 3. The three scores side by side, pass@1 in %, {_student(student)}",
                rows,
                names,
            ),
        ]
    if figures.paired:
        blocks.append(_paired_table(figures, names, level))
    if figures.scores:
        blocks.append(_method(settings, figures))
    return blocks


def _by_task(
    caption: str,
    rows: Rows,
    names: Mapping[str, str],
    cell: Callable[[Mapping[str, Any]], str],
) -> Table:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    found = {(row["task"], row["teacher"]): row for row in rows}
    body = []
    for task in tasks:
        of_teachers = [found.get((task, teacher)) for teacher in names]
        cells = [DASH if row is None else cell(row) for row in of_teachers]
        own = [row for row in of_teachers if row is not None]
        body.append([_task(task), *cells, _counts(own, "items"), _counts(own, "samples")])
    return Table(caption, ["Benchmark", *names.values(), "Items", "Answers"], body)


def _counts(rows: Rows, key: str) -> str:
    """Return the count of all teachers if it is the same, else the count of each."""
    counts = [f"{row[key]:,}" for row in rows]
    return counts[0] if len(set(counts)) == 1 else " / ".join(counts)


def _side_by_side(caption: str, rows: Rows, names: Mapping[str, str]) -> Table:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    order = [(task, teacher) for task in tasks for teacher in names]
    found = {(row["task"], row["teacher"]): row for row in rows}
    header = ["Benchmark", "Teacher", "Strict", "Lenient", "Finished", "Items finished", "Cut, %"]
    body = [
        [
            _task(task),
            names[teacher],
            *(percent(row[key]) for key in ("strict", "lenient", "finished")),
            f"{row['finished_items']:,}",
            *(percent(row[key]) for key in ("truncated", "unread")),
        ]
        for task, teacher in order
        if (row := found.get((task, teacher))) is not None
    ]
    return Table(caption, [*header, "Unread, %"], body, labels=2)


def _paired_table(figures: AnalysisRows, names: Mapping[str, str], level: str) -> Table:
    rows = [
        [
            _task(row["task"]),
            f"{names[row['first']]} minus {names[row['second']]}",
            row["student"] if row["student"] != ALL_STUDENTS else "all students",
            points(row["difference"]),
            bracket(row["low"], row["high"], signed=True) or DASH,
            percent(row["favours_first"]),
            percent(row["favours_second"]),
            "yes" if row["significant"] else "no",
        ]
        for row in figures.paired
    ]
    header = [
        "Benchmark",
        "Teachers",
        "Student",
        "Points",
        level,
        "% for first",
        "% for second",
        "Significant",
    ]
    return Table("Paired differences over the same items", header, rows, labels=3)


def _method(settings: Settings, figures: AnalysisRows) -> Text:
    fewest = min(row["items"] for row in figures.scores)
    few = (
        f" Some benchmark has only {count(fewest, 'item')}: intervals from so few are too narrow; read them as "
        "a lower bound of the uncertainty."
        if fewest < FEW_ITEMS
        else ""
    )
    return Text(
        f"Intervals are percentile bootstraps over items ({settings.report.resamples:,} resamples): the answers to one "
        "item are one cluster. Paired differences resample the items that both teachers' students answered. "
        "Where all items score 0, or all score 1, the interval is the exact binomial bound; where one cannot be "
        f"estimated a cell shows none. The pairs are not corrected for their number.{few} "
        f"{_SCORES} Headline, table 1 and paired differences use the {settings.benchmark.score} score.",
        note=True,
    )


def _task(task: str) -> str:
    return "Mean of benchmarks" if task == MEAN_TASK else task


def _student(student: str) -> str:
    return "mean over all students" if student == ALL_STUDENTS else f"student {student}"


def _in_words(
    low: float | None, high: float | None, settings: Settings, *, signed: bool = False
) -> str:
    if low is None or high is None:
        return ""
    form = points if signed else percent
    return f"{100 * settings.report.confidence:g} % interval {form(low)} to {form(high)}"
