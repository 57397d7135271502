"""The headline of the report: which teacher is best, how sure that is, and what it is a statement about."""

from collections.abc import Iterator, Mapping
from typing import Any

from stillhouse.analysis.answered import ALL_STUDENTS
from stillhouse.analysis.conditions import UNTRAINED
from stillhouse.analysis.pairs import CONTROL, TEACHERS
from stillhouse.analysis.verdict import Comparison
from stillhouse.layout import SHUFFLED
from stillhouse.params.teacher import Teacher
from stillhouse.report.formats import count, percent, points, share
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import AnalysisRows, Settings, teacher_names
from stillhouse.report.summary import rows_of_mean

SCOPES = {
    "students": "This compares these trained students, not the teachers: how much another training would change is not "
    "counted with {seeds} per teacher and student; three are needed.",
    "tentative": "This is a tentative statement about the teachers, from {seeds} per teacher and student; from five on "
    "it is about this teacher and recipe.",
    "teacher": "This is a statement about this teacher and recipe, from {seeds} per teacher and student.",
}


def headline(files: RunFiles, figures: AnalysisRows, settings: Settings) -> list[str]:
    """Return the sentences that say which teachers are best, what that covers, and what the controls show.

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
    found = {verdict.student: verdict for verdict in figures.verdicts}
    for student in students:
        if student in found:
            sentences += _about(found[student], figures, settings, names)
        else:
            sentences.append(_no_answer(student, figures, settings))
        sentences += _controls(student, figures, names)
    if files.align is not None:
        sentences.append(
            f"Of {count(files.align['queries'], 'query', 'queries')}, {files.align['parallel']:,} "
            f"({percent(share(files.align['parallel'], files.align['queries']))} %) were answered by every compared "
            "teacher and passed every filter: these are the parallel set."
        )
    return sentences + _same_model(settings.teachers, names)


def _who(student: str) -> str:
    return "over all students" if student == ALL_STUDENTS else f"with student {student}"


def _no_answer(student: str, figures: AnalysisRows, settings: Settings) -> str:
    rows = [row for row in rows_of_mean(figures.scores) if row["student"] == student]
    of = {row["teacher"]: row for row in rows}
    if any(of.get(teacher, {}).get("score") is None for teacher in settings.ranked):
        reason = "the student of some teacher has no benchmark scores, or no valid ones"
    else:
        reasons = {of[teacher]["without_interval"] for teacher in settings.ranked} - {None}
        reason = (
            f"no interval can be given ({', '.join(sorted(reasons)) or 'too few items shared'})"
        )
    return f"No answer {_who(student)}: {reason}."


def _about(
    verdict: Comparison, figures: AnalysisRows, settings: Settings, names: Mapping[str, str]
) -> Iterator[str]:
    """Yield the sentences about one student."""
    best, *others = verdict.best_set
    who = _who(verdict.student)
    row = next(
        row
        for row in rows_of_mean(figures.scores)
        if (row["teacher"], row["student"]) == (best, verdict.student)
    )
    score = (
        f"{percent(row['score'])} % pass@1 ({settings.benchmark.score} score) on average over "
        f"{count(len(settings.benchmark.tasks), 'benchmark')}"
        f"{_in_words(row['low'], row['high'], 100 * settings.report.confidence)}"
    )
    if others:
        yield (
            f"{who[0].upper()}{who[1:]}, the best set has {len(verdict.best_set)} teachers that this run cannot tell "
            f"apart from the best: {', '.join(names[teacher] for teacher in verdict.best_set)}. The highest score has "
            f"{names[best]}: {score}."
        )
    else:
        yield f"{who[0].upper()}{who[1:]}, the traces of {names[best]} gave the best score: {score}."
    yield from _leads(verdict, figures, settings, names)
    if len(settings.ranked) == 1:
        yield "There is no other teacher to compare it with."
    else:
        chances = sorted(verdict.chance.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{names[teacher]} {_chance(chance)} %" for teacher, chance in chances)
        yield f"Probability of being the best of these: {shown}."
        if verdict.detectable is not None:
            yield (
                f"A true difference of {points(verdict.detectable).removeprefix('+')} points would be found with "
                "80 % power; a smaller one may exist."
            )
        yield SCOPES[verdict.scope].format(seeds=count(verdict.seeds, "training"))
    yield from _against_untrained(verdict, figures, settings, names)


def _chance(value: float) -> str:
    """Return a probability in %; draws never prove one of 0 or 1."""
    if value > 0.9990:
        return "over 99.9"
    return "under 0.1" if value < 0.001 else percent(value)


def _leads(
    verdict: Comparison, figures: AnalysisRows, settings: Settings, names: Mapping[str, str]
) -> Iterator[str]:
    best = verdict.best_set[0]
    rows = [
        _turned(row, best)
        for row in rows_of_mean(figures.paired)
        if (row["family"], row["student"]) == (TEACHERS, verdict.student)
        and best in (row["first"], row["second"])
    ]
    confidence = 100 * settings.report.confidence
    for significant in (True, False):
        texts = [
            f"{names[row['second']]} ({points(row['difference']).removeprefix('+')} points"
            f"{_in_words(row['low'], row['high'], confidence, signed=True)})"
            for row in rows
            if row["significant"] == significant
        ]
        if texts:
            yield (
                f"The lead of {names[best]} over {' and over '.join(texts)} is {'' if significant else 'not '}"
                f"significant: the paired interval {'excludes' if significant else 'includes'} 0"
                f"{', with all pairs corrected together' if len(verdict.chance) > 2 else ''}."
            )


def _against_untrained(
    verdict: Comparison, figures: AnalysisRows, settings: Settings, names: Mapping[str, str]
) -> Iterator[str]:
    """Yield a sentence if the student of the best teacher is not better than the untrained one."""
    best = verdict.best_set[0]
    for row in rows_of_mean(figures.paired):
        if (row["family"], row["student"], row["first"]) != (UNTRAINED, verdict.student, best):
            continue
        if row["low"] is None or row["low"] <= 0:
            interval = _in_words(
                row["low"], row["high"], 100 * settings.report.confidence, signed=True
            )
            yield (
                f"The best is not significantly better than the untrained student "
                f"({points(row['difference'])} points{interval}): this run does not show that training on "
                f"{names[best]} helped."
            )


def _controls(student: str, figures: AnalysisRows, names: Mapping[str, str]) -> Iterator[str]:
    for row in rows_of_mean(figures.paired):
        if (row["family"], row["student"]) != (CONTROL, student):
            continue
        original = names[row["second"]]
        confidence = round(100 * (1 - row["level"]), 6)
        interval = _in_words(row["low"], row["high"], confidence, signed=True)
        found = f"{points(row['difference'])} points{interval}"
        if row["first"].endswith(SHUFFLED):
            worse = row["significant"] and row["difference"] < 0
            yield (
                f"Control {_who(student)}: answers of {original} given to other queries make a student that is "
                f"{'significantly' if worse else 'not significantly'} worse ({found})"
                f"{', as it should be' if worse else '; so this benchmark does not show what the answers teach'}."
            )
        else:
            apart = row["significant"]
            yield (
                f"Control {_who(student)}: {names[row['first']]}, which is {original} with other sampling seeds, is "
                f"{'' if apart else 'not '}told apart from it ({found})"
                f"{'; so a lead of this size can come from chance' if apart else ', as it should be'}."
            )


def _turned(row: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Return the row of a pair with `first` as its first teacher."""
    if row["first"] == first:
        return dict(row)

    def minus(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    return {
        **row,
        "first": first,
        "second": row["first"],
        "difference": minus(row["difference"]),
        "low": minus(row["high"]),
        "high": minus(row["low"]),
    }


def _in_words(
    low: float | None,
    high: float | None,
    confidence: float,
    *,
    signed: bool = False,
) -> str:
    """Return an interval, empty if there is none.

    Args:
        low: lower limit as a share.
        high: upper limit as a share.
        confidence: in %.
        signed: whether the limits are differences; these follow a comma, others are in brackets.
    """
    if low is None or high is None:
        return ""
    form = points if signed else percent
    text = f"{confidence:g} % interval {form(low)} to {form(high)}"
    return f", {text}" if signed else f" ({text})"


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
