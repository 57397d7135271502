"""Stage report: one page that answers the question, the flat figures, and the rows of the plots."""

from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.analysis import lengths, mixture, scores, statistics
from stillhouse.files import write_json
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.run import Report, Run
from stillhouse.params.stage import load_recorded, load_stage
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.report import inputs, material, page, sections, summary
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write report/, metrics/summary.json and plots/*.csv."""
    params = load_stage()
    teacher_ids: list[str] = params.value("teacher_ids")
    student_ids: list[str] = params.value("student_ids")
    responses = Path("data/responses")
    settings = material.Settings(
        run=params.section(Run, "run"),
        verify=params.section(Verify, "verify"),
        benchmark=params.section(Benchmark, "benchmark"),
        report=params.section(Report, "report"),
        teachers={t: load_recorded(Teacher, responses / t / "teacher.json") for t in teacher_ids},
        judge=load_recorded(Teacher, responses / teacher_ids[0] / "judge.json"),
    )
    files = inputs.read_run(Path(), teacher_ids, student_ids)

    benchmarks = [task.id for task in settings.benchmark.tasks], settings.benchmark.score
    bootstrap: dict[str, Any] = {
        "resamples": settings.report.resamples,
        "confidence": settings.report.confidence,
        "seed": settings.run.seed,
    }
    figures = material.AnalysisRows(
        scores=scores.score_rows(files.samples, *benchmarks, **bootstrap),
        paired=scores.paired_rows(files.samples, *benchmarks, **bootstrap),
        lengths=lengths.length_rows(files.lengths),
        histogram=lengths.histogram_rows(files.lengths),
        mixture=mixture.mixture_rows(files.lengths),
        perplexity=[
            {"teacher": teacher, "step": step, **statistics.box(np.asarray(values))}
            for step in inputs.PERPLEXITY_STEPS
            for teacher, steps in files.perplexities.items()
            if (values := steps.get(step)) is not None
        ],
        mean_task=scores.MEAN_TASK,
        all_students=scores.ALL_STUDENTS,
    )

    report = sections.build(files, figures, settings)
    folder = Path("report")
    folder.mkdir(exist_ok=True)
    (folder / "report.html").write_text(page.render_html(report), encoding="utf-8")
    (folder / "report.md").write_text(page.render_markdown(report), encoding="utf-8")

    flat = summary.summary(files, figures.scores, scores.MEAN_TASK)
    write_json(Path("metrics/summary.json"), flat)
    plots = Path("plots")
    funnel = summary.funnel_rows(files)
    summary.write_rows(plots / "funnel.csv", ("teacher", "stage", "rows"), funnel)
    columns = ("task", "teacher", "student", "score", "low", "high")
    summary.write_rows(plots / "scores.csv", columns, figures.scores)
    summary.write_rows(
        plots / "lengths.csv", ("teacher", "tokens", "rows", "share"), figures.histogram
    )


if __name__ == "__main__":
    main()
