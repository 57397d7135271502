"""Section that puts the figures of a published study beside those of the run, where `report.published` names one."""

from collections.abc import Callable, Mapping, Sequence

from stillhouse.analysis.answer_lengths import Samples, score_and_tokens, sorted_by_student
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.report.formats import number
from stillhouse.report.material import Settings
from stillhouse.report.page import Block, Table, Text
from stillhouse.report.published import PublishedStudy, load_study

Pair = tuple[float, float | None]  # a figure of the study, and this run's


def beside_published(samples: Samples, settings: Settings) -> list[Block]:
    """Return per student pass@1, tokens and their ratio, each beside the study's, and what differs in the settings.

    Only teachers and benchmarks that the run shares with the study are shown.

    Args:
        samples: the benchmark answers, as for `answer_length_rows`.
        settings: the parameters of the run.
    """
    if settings.report.published is None:
        return []
    study = load_study(settings.report.published)
    teachers = study.teachers_of(settings.teachers)
    tasks = study.benchmarks_of(settings.benchmark.tasks)
    if not teachers or not tasks:
        what = "teacher" if not teachers else "benchmark"
        return [Text(f"No {what} of this run is one of {study.source}, so nothing is compared.")]
    blocks: list[Block] = []
    by_student: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for (student, teacher), columns in sorted_by_student(samples):
        for name, task in tasks.items():
            if (found := score_and_tokens(columns, task.id)) is not None:
                own = by_student.setdefault(student, {}).setdefault(teacher, {})
                own[name] = (100 * found[0], found[1])
    for student, figures in by_student.items():
        blocks += _tables(study, teachers, list(tasks), student, figures)
    if not blocks:
        return [
            Text(f"No student of this run was benchmarked on the benchmarks of {study.source}.")
        ]
    return [*blocks, _differences(study, tasks, settings, list(by_student))]


def _tables(
    study: PublishedStudy,
    teachers: Mapping[int, str],
    shown: Sequence[str],
    student: str,
    figures: Mapping[str, Mapping[str, tuple[float, float]]],
) -> list[Block]:
    def own(teacher: str, name: str, part: int) -> float | None:
        found = figures.get(teacher, {}).get(name)
        return None if found is None else found[part]

    benchmarks = [one for one in study.benchmarks if one.name in shown]
    scores = [
        (one.name, [(one.scores[i], own(teacher, one.name, 0)) for i, teacher in teachers.items()])
        for one in benchmarks
    ]
    tokens = [
        (one.name, [(one.tokens[i], own(teacher, one.name, 1)) for i, teacher in teachers.items()])
        for one in benchmarks
    ]
    blocks: list[Block] = [
        _table(f"pass@1 in % (lenient score), student {student}", study, teachers, scores, number),
        _table(
            f"Mean generated tokens per answer, student {student}", study, teachers, tokens, number
        ),
    ]
    by_name = dict(tokens)
    if study.hard in by_name and study.easy in by_name:
        ratios = [
            _ratio(hard, easy)
            for hard, easy in zip(by_name[study.hard], by_name[study.easy], strict=True)
        ]
        blocks.append(
            _table(
                f"Adaptive length: tokens of {study.hard} / {study.easy}, student {student}",
                study,
                teachers,
                [(f"{study.hard} / {study.easy}", ratios)],
                number,
            )
        )
    return blocks


def _ratio(hard: Pair, easy: Pair) -> Pair:
    return hard[0] / easy[0], hard[1] / easy[1] if hard[1] is not None and easy[1] else None


def _table(
    caption: str,
    study: PublishedStudy,
    teachers: Mapping[int, str],
    rows: Sequence[tuple[str, Sequence[Pair]]],
    form: Callable[[float | None], str],
) -> Table:
    header = ["Benchmark"]
    for place in teachers:
        header += [f"{study.teachers[place].name}, {study.source}", "this run"]
    body = [[name, *(form(figure) for pair in pairs for figure in pair)] for name, pairs in rows]
    return Table(f"{caption}, beside {study.source}", header, body)


def _differences(
    study: PublishedStudy,
    tasks: Mapping[str, BenchmarkTask],
    settings: Settings,
    students: Sequence[str],
) -> Text:
    sampling = settings.benchmark.sampling
    differ = [
        f"{name} {getattr(sampling, name):g} here, {getattr(study, name):g} there"
        for name in ("temperature", "top_p", "max_tokens")
        if getattr(sampling, name) != getattr(study, name)
    ]
    differ += [
        f"{one.name} {tasks[one.name].samples} answers per item here, {one.samples} there"
        for one in study.benchmarks
        if one.name in tasks and tasks[one.name].samples != one.samples
    ]
    said = f" Different in the settings: {'; '.join(differ)}." if differ else ""
    return Text(
        f"The figures of {study.source} are from one training of {study.student} on each teacher's set and have no "
        f"intervals; the student of this run is {', '.join(students)}. Scores are lenient, as there: an answer that "
        f"was cut counts if its result is marked already.{said}",
        note=True,
    )
