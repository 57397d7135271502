"""All of params.yaml, and its sections `run` and `report`."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from stillhouse.params.base import Id, Section, UnitInterval, check_unique
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.package import PARALLEL, Package
from stillhouse.params.queries import Queries
from stillhouse.params.student import TrainingBudget
from stillhouse.params.verify import Verify


class Run(Section):
    """The name of the run, and the seed of everything that is drawn."""

    name: Id
    seed: NonNegativeInt


class Report(Section):
    """Parameters of the report stage: bootstrap resamples, and the confidence level of its intervals.

    `published` names a study whose figures the report shows beside those of the run, for the teachers and benchmarks
    that both have.
    """

    resamples: PositiveInt
    confidence: UnitInterval
    published: Literal["arxiv_2505_14464"] | None = None


class RunParams(Section):
    """All of params.yaml.

    `plugins` are Python modules, of the project or installed, that extend stillhouse (docs/how-to/extend.md).
    `teacher_ids` are the teachers that are asked. `compared_ids` are those of them whose accepted answers make the
    parallel set, and whose students are trained and ranked.
    """

    run: Run
    plugins: list[str] = []
    teacher_ids: list[Id]
    compared_ids: list[Id]
    student_ids: list[Id]
    training_budget: TrainingBudget
    queries: Queries
    generate: Generate
    verify: Verify
    perplexity: PerplexityScorer
    filter: Filter
    package: Package
    benchmark: Benchmark
    report: Report

    @model_validator(mode="after")
    def _unique_ids(self) -> "RunParams":
        check_unique(self.teacher_ids, "teacher_ids")
        if PARALLEL in self.teacher_ids:
            raise ValueError(
                f"teacher_ids: {PARALLEL!r} names the release of all teachers side by side; rename that teacher"
            )
        check_unique(self.compared_ids, "compared_ids")
        if unknown := [i for i in self.compared_ids if i not in self.teacher_ids]:
            raise ValueError(
                f"compared_ids: {', '.join(unknown)} not in teacher_ids; only a teacher that is asked can be compared"
            )
        check_unique(self.student_ids, "student_ids")
        return self
