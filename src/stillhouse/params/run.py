"""All of params.yaml, and its sections `run` and `report`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stillhouse.layout import SHUFFLED, UNTRAINED
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


class Controls(Section):
    """Students whose comparison has a known answer, to test the comparison itself (docs/how-to/controls.md).

    `alias`: teachers that are another teacher of the run once more, with other sampling seeds (`teacher.alias_of`);
    such a pair should not be told apart. `shuffled`: teachers of which one more student is trained, on their answers
    permuted within each category; it should be worse. Controls are trained and benchmarked, never ranked or released.
    """

    alias: list[Id] = []
    shuffled: list[Id] = []

    def trained(self, compared_ids: Sequence[str]) -> list[str]:
        """Return the ids in the place of a teacher of all trained students: the teachers, then the shuffled ones."""
        return [*compared_ids, *(f"{teacher}{SHUFFLED}" for teacher in self.shuffled)]

    def released(self, compared_ids: Sequence[str]) -> list[str]:
        """Return the teachers that are ranked and released."""
        return [teacher for teacher in compared_ids if teacher not in self.alias]


class Report(Section):
    """Parameters of the report.

    `confidence` is the level of its intervals, and of all pairs of teachers together. `resamples` is the number of
    draws that the probability of being the best is estimated from. `published` names a study whose figures the report
    shows beside those of the run, for the teachers and benchmarks that both have.
    """

    resamples: PositiveInt
    confidence: UnitInterval
    published: Literal["arxiv_2505_14464"] | None = None


class RunParams(Section):
    """All of params.yaml.

    `plugins` are Python modules, of the project or installed, that extend stillhouse (docs/how-to/extend.md).
    `teacher_ids` are the teachers that are asked. `compared_ids` are those of them whose accepted answers make the
    parallel set, and whose students are compared. Each of `student_ids` is trained on the answers of each of these with
    each of `training_seeds`.
    """

    run: Run
    plugins: list[str] = []
    teacher_ids: list[Id]
    compared_ids: list[Id]
    student_ids: list[Id]
    training_seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]
    training_budget: TrainingBudget
    controls: Controls
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
        check_unique(self.student_ids, "student_ids")
        check_unique([str(seed) for seed in self.training_seeds], "training_seeds")
        for reserved in self.teacher_ids:
            if reserved == UNTRAINED or reserved.endswith(SHUFFLED):
                raise ValueError(
                    f"teacher_ids: {reserved!r}: {UNTRAINED!r} and ids that end in {SHUFFLED!r} name controls; "
                    "rename that teacher"
                )
        _check_part(self.compared_ids, "compared_ids", self.teacher_ids, "teacher_ids")
        for kind in ("alias", "shuffled"):
            listed = getattr(self.controls, kind)
            _check_part(listed, f"controls.{kind}", self.compared_ids, "compared_ids")
        if self.compared_ids and not self.controls.released(self.compared_ids):
            raise ValueError("controls.alias: every teacher is an alias, so nothing is compared")
        return self


def _check_part(part: list[str], name: str, whole: list[str], of: str) -> None:
    check_unique(part, name)
    if unknown := [i for i in part if i not in whole]:
        raise ValueError(f"{name}: {', '.join(unknown)}: not in {of} ({', '.join(whole)})")
