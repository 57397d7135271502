"""Computes the analyses of a run, and writes the page, the flat figures and the rows of the plots."""

import numpy as np

from stillhouse import layout
from stillhouse.analysis import lengths, mixture, pairs, scores, statistics, verdict
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.files import write_json
from stillhouse.params.base import Id
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.run import Controls, Report, Run
from stillhouse.params.stage import StageParams, load_recorded, read_student
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.report import inputs, material, page, sections, summary


def settings_of(params: StageParams) -> material.Settings:
    """Return the parameters on the page: those that the stage tracks, and those that were recorded for it."""
    teachers = params.read(list[Id], "teacher_ids")
    return material.Settings(
        run=params.section(Run, "run"),
        verify=params.section(Verify, "verify"),
        benchmark=params.section(Benchmark, "benchmark"),
        report=params.section(Report, "report"),
        teachers={t: load_recorded(Teacher, layout.teacher_record(t)) for t in teachers},
        judge=load_recorded(Teacher, layout.judge_record(teachers[0])),
        compared=params.read(list[Id], "compared_ids"),
        training_seeds=params.read(list[int], "training_seeds"),
        controls=params.section(Controls, "controls"),
        scorer=params.section(PerplexityScorer, "perplexity"),
        students={s: read_student(s) for s in params.read(list[Id], "student_ids")},
    )


def trained_of(settings: material.Settings, student_ids: list[str]) -> list[Condition]:
    """Return all trained students of the run, those of the controls too."""
    return [
        Condition(teacher, student, seed)
        for teacher in settings.controls.trained(settings.compared)
        for student in student_ids
        for seed in settings.training_seeds
    ]


def analyse(files: inputs.RunFiles, settings: material.Settings) -> material.AnalysisRows:
    """Return the rows of all analyses."""
    ranked = settings.controls.released(settings.compared)
    benchmarks = [task.id for task in settings.benchmark.tasks], settings.benchmark.score
    confidence = settings.report.confidence
    paired = pairs.paired_rows(
        files.samples,
        *benchmarks,
        confidence=confidence,
        ranked=ranked,
        controls=settings.compared_with,
    )
    return material.AnalysisRows(
        scores=scores.score_rows(files.samples, *benchmarks, confidence=confidence),
        paired=paired,
        verdicts=verdict.verdicts(
            files.samples,
            *benchmarks,
            ranked=ranked,
            paired=paired,
            draws=settings.report.resamples,
            seed=settings.run.seed,
        ),
        lengths=lengths.length_rows(files.lengths),
        histogram=lengths.histogram_rows(files.lengths),
        mixture=mixture.mixture_rows(files.lengths),
        perplexity=[
            {"teacher": teacher, "step": step, **statistics.box(np.asarray(values))}
            for step in inputs.PERPLEXITY_STEPS
            for teacher, steps in files.perplexities.items()
            if (values := steps.get(step)) is not None
        ],
    )


def write_page(
    files: inputs.RunFiles, rows: material.AnalysisRows, settings: material.Settings
) -> None:
    """Write report/, as one HTML file and as Markdown."""
    report = sections.build(files, rows, settings)
    layout.REPORT.mkdir(exist_ok=True)
    (layout.REPORT / "report.html").write_text(page.render_html(report), encoding="utf-8")
    (layout.REPORT / "report.md").write_text(page.render_markdown(report), encoding="utf-8")


def write_figures(
    files: inputs.RunFiles, rows: material.AnalysisRows, settings: material.Settings
) -> None:
    """Write metrics/summary.json and plots/*.csv; the plot of scores has no controls."""
    shown = {*settings.ranked, UNTRAINED}
    ranked = [row for row in rows.scores if row["teacher"] in shown]
    flat = summary.summary(files, rows.scores, rows.verdicts)
    write_json(layout.metrics("summary"), flat)
    for name, columns, found in (
        ("funnel", ("teacher", "stage", "rows"), summary.funnel_rows(files)),
        ("scores", ("task", "teacher", "student", "score", "low", "high"), ranked),
        ("lengths", ("teacher", "tokens", "rows", "share"), rows.histogram),
    ):
        summary.write_rows(layout.plot(name), columns, found)
