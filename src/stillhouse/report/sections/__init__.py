"""The sections of the report in their order: blocks of text, tables and charts from metrics and tidy rows.

A section whose data is missing states this.
"""

from stillhouse.params.same_base import shared_bases
from stillhouse.report.formats import count
from stillhouse.report.headline import headline
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import AnalysisRows, Settings, teacher_names, with_controls
from stillhouse.report.page import Page, PageSection
from stillhouse.report.scoreboard import score_blocks
from stillhouse.report.sections.answer_lengths import answer_lengths
from stillhouse.report.sections.attempts import attempts
from stillhouse.report.sections.beside import lighteval_beside_ours
from stillhouse.report.sections.data import lengths, mixture, perplexity
from stillhouse.report.sections.parallel_set import agreement, survivors, wrong_rows
from stillhouse.report.sections.provenance import provenance
from stillhouse.report.sections.published import beside_published
from stillhouse.report.sections.queries import funnel, queries
from stillhouse.report.sections.samples import samples
from stillhouse.report.sections.training import training
from stillhouse.report.sections.verification import verification


def build(files: RunFiles, figures: AnalysisRows, settings: Settings) -> Page:
    """Return the whole page.

    Args:
        files: the data of the run.
        figures: the rows of the analyses.
        settings: the parameters of the run.
    """
    names = teacher_names(settings.teachers)
    compared = {teacher: names[teacher] for teacher in files.compared_ids}
    sections = [
        (
            "scores",
            "Scores of the students",
            [
                *score_blocks(files, figures, settings, compared),
                *answer_lengths(files.samples, settings, with_controls(names)),
                *lighteval_beside_ours(files, settings, with_controls(names)),
            ],
        ),
        *(
            [("published", "Beside the published study", blocks)]
            if (blocks := beside_published(files.samples, settings))
            else []
        ),
        (
            "funnel",
            "From queries to parallel rows",
            [*funnel(files, names), *survivors(files, names)],
        ),
        ("attempts", "Attempts and pass rate", attempts(files, names)),
        ("queries", "Queries", queries(files)),
        ("mixture", "Mixture of the parallel set", mixture(figures, compared)),
        ("agreement", "Agreement of the teachers", agreement(files, compared)),
        ("lengths", "Length of the responses", lengths(figures, compared)),
        ("perplexity", "Perplexity", perplexity(figures, names)),
        ("training", "Training", training(files, with_controls(names))),
        (
            "verification",
            "Verification",
            [*verification(files, settings, names), *wrong_rows(files, compared)],
        ),
        ("samples", "Answers side by side", samples(files, compared)),
        ("provenance", "Provenance", provenance(files, settings, names)),
    ]
    same_base = shared_bases(
        settings.teachers.values(), settings.students.values(), settings.judge, settings.scorer
    )
    return Page(
        title=f"Distillation report: {settings.run.name}",
        subtitle=f"{count(len(names), 'teacher')}, {count(len(files.student_ids), 'student')}; "
        f"seed {settings.run.seed}. Which teacher's traces make the better student?",
        headline=[*headline(files, figures, settings), *same_base],
        sections=[PageSection(anchor, title, blocks) for anchor, title, blocks in sections],
    )
