"""Renders the card of a trained student: base model, data set at its revision, recipe, and scores with intervals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse import layout
from stillhouse.files import read_json
from stillhouse.package import figures
from stillhouse.package.facts import repositories
from stillhouse.package.license_names import hub_name
from stillhouse.package.licenses import terms_of
from stillhouse.package.render import CARDS, changelog_text, render, yaml_text
from stillhouse.params.base import Id
from stillhouse.params.benchmark import Benchmark, BenchmarkSampling, ScoreKind
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.package import Package
from stillhouse.params.run import Controls, Report, Run
from stillhouse.params.same_base import shared_bases
from stillhouse.params.stage import StageParams, load_recorded
from stillhouse.params.student import Student
from stillhouse.params.teacher import Teacher

STUDENT_CARD = "student.md.jinja"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")  # does not match `package:...` and `path:...`


@dataclass(frozen=True)
class StudentFacts:
    """The facts of a student's card.

    `teacher_ids` are the teachers whose students are compared. `sft`, `fit` and `align` are metrics. `decides` names
    the score that has the interval. `scores` has rows of task, score, low, high (0 to 1, None if not estimable), items,
    strict, lenient, finished, finished_items, samples, truncated and unread, in the order to print. `confidence` is the
    confidence level of the intervals. `trainings` (score, low, high) is over all trainings, `gain` (difference, low,
    high) against the untrained student; both may be None. `judge` and `scorer` are those of the run; null: none.

    `seeds` are the training seeds, of which the first is the one of the published weights, of `sft` and of `scores`.
    `by_seed` has for each seed the deciding score by task, and `untrained` that of the base model; a task without a
    valid score is left out.
    """

    run: Run
    package: Package
    teacher_ids: list[str]
    teacher_id: str
    teacher: Teacher
    student_id: str
    student: Student
    sampling: BenchmarkSampling
    decides: ScoreKind
    sft: Mapping[str, Any]
    fit: Mapping[str, Any]
    align: Mapping[str, Any]
    scores: Sequence[Mapping[str, Any]]
    confidence: float
    seeds: Sequence[int]
    by_seed: Mapping[int, Mapping[str, float]]
    untrained: Mapping[str, float]
    judge: Teacher | None = None
    scorer: PerplexityScorer | None = None

    @property
    def dataset(self) -> str:
        """The Hub repository of the data set that the student was trained on."""
        repos = repositories(self.package, self.teacher_ids, self.teacher_ids)
        return next(repo.repo_id for repo in repos if self.teacher_id in repo.teacher_ids)

    @property
    def title(self) -> str:
        """The heading of the card."""
        return f"{self.student.label} taught by {self.teacher.label}"

    @property
    def commercial(self) -> bool:
        """Whether no known licence of the base model, the data set or the teacher forbids commercial use."""
        licenses = (self.student.license, self.package.license, self.teacher.license)
        terms = [terms_of(license_) for license_ in licenses]
        return all(found is None or found.commercial for found in terms)


def student_facts(
    params: StageParams, teacher: str, student: str, scores: Sequence[Mapping[str, Any]]
) -> StudentFacts:
    """Gather the facts of a student's card from parameters, metrics and records.

    Args:
        params: the parameters that the stage tracks.
        teacher: the id of the teacher whose examples the student was trained on.
        student: the student's id.
        scores: as in `StudentFacts`.
    """
    benchmark = params.section(Benchmark, "benchmark")
    controls = params.section(Controls, "controls")
    seeds = params.read(list[int], "training_seeds")
    found = read_json(layout.metrics("benchmark", student))[teacher]
    return StudentFacts(
        run=params.section(Run, "run"),
        package=params.section(Package, "package"),
        teacher_ids=controls.released(params.read(list[Id], "compared_ids")),
        teacher_id=teacher,
        teacher=load_recorded(Teacher, layout.teacher_record(teacher)),
        student_id=student,
        student=params.student(student),
        sampling=benchmark.sampling,
        decides=benchmark.score,
        sft=read_json(layout.metrics("sft", student, teacher, str(seeds[0]))),
        fit=read_json(layout.metrics("fit", student)),
        align=read_json(layout.metrics("align")),
        scores=scores,
        confidence=params.section(Report, "report").confidence,
        seeds=seeds,
        by_seed={seed: _scores(found[str(seed)]) for seed in seeds},
        untrained=_scores(read_json(layout.metrics("benchmark_untrained", student))),
        judge=load_recorded(Teacher, layout.judge_record(teacher)),
        scorer=params.section(PerplexityScorer, "perplexity"),
    )


def _scores(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {task: facts["score"] for task, facts in figures.items() if "score" in facts}


def write_model_card(out: Path, facts: StudentFacts, cards: Path = CARDS) -> None:
    """Write README.md and its figure into `out`.

    Args:
        out: the folder of the student's release.
        facts: the facts of the card.
        cards: the folder of the card templates.

    Raises:
        CardError: template or changelog is missing or broken, or a metrics file lacks a number of the card.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = {facts.teacher_id: facts.teacher.label}
    measured = [
        dict(row, teacher=facts.teacher_id) for row in facts.scores if row["score"] is not None
    ]
    title = f"pass@1 ({facts.decides} score) with {100 * facts.confidence:g} % intervals"
    figures.scores(measured, name, out / "images" / "scores.png", title)
    shown = {
        "title": facts.title,
        "run": facts.run,
        "package": facts.package,
        "teacher_id": facts.teacher_id,
        "teacher": facts.teacher,
        "teacher_count": len(facts.teacher_ids),
        "student_id": facts.student_id,
        "student": facts.student,
        "base_on_hub": bool(_HUB_ID.fullmatch(facts.student.model)),
        "dataset": facts.dataset,
        "sampling": facts.sampling,
        "decides": facts.decides,
        "sft": facts.sft,
        "fit": facts.fit,
        "align": facts.align,
        "scores": facts.scores,
        "seeds": facts.seeds,
        "by_seed": facts.by_seed,
        "untrained": facts.untrained,
        "interval": f"{100 * facts.confidence:g}",
        "commercial": facts.commercial,
        "same_base": shared_bases([facts.teacher], [facts.student], facts.judge, facts.scorer),
        "changelog": changelog_text(cards),
    }
    body = render(cards / STUDENT_CARD, shown)
    text = f"---\n{yaml_text(front_matter(facts))}---\n\n{body}"
    (out / "README.md").write_text(text, encoding="utf-8")


def front_matter(facts: StudentFacts) -> dict[str, Any]:
    """Return the YAML front matter of the card, with the scores as a model index."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=row["task"],
            dataset_name=row["task"],
            metric_type="pass@1",
            metric_name=f"pass@1 ({facts.decides} score)",
            metric_value=row["score"],
            metric_config=f"{row['samples']} answers to {row['items']} items",
        )
        for row in facts.scores
        if row["score"] is not None
    ]
    base = facts.student.model
    card = ModelCardData(
        license=hub_name(facts.student.license),
        language=list(facts.package.languages),
        base_model=base if _HUB_ID.fullmatch(base) else None,
        datasets=[facts.dataset],
        pipeline_tag="text-generation",
        library_name="transformers",
        tags=["stillhouse", "distillation", "reasoning"],
        model_name=facts.title,
        eval_results=results or None,
        # The field `datasets` of the Hub cannot hold a revision.
        dataset_revision=f"v{facts.package.version}",
        base_model_revision=facts.student.revision,
    )
    found: dict[str, Any] = card.to_dict()
    return found
