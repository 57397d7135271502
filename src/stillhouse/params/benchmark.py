"""The section `benchmark` of params.yaml."""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from stillhouse.params.base import Id, InputPath, Revision, Section, UnitInterval, check_unique

# Tasks of lighteval's that are asked by their item unless `prompt` says otherwise. Their templates ask for brevity
# (AIME) or for another form than a box (MATH500), which would contradict the instruction.
ASKED_BY_ITEM = frozenset(
    {"aime24", "aime24_avg", "aime24_gpassk", "aime25", "aime25_avg", "aime25_gpassk", "math_500"}
)


class BenchmarkTask(Section):
    """One benchmark of this run.

    The items come from, by `kind`: `reasoning_gym`, a generator with held-out seeds; `gsm8k`, the packaged GSM8K items;
    `file`, a JSONL file with `prompt` and `answer`; `plugin`, the benchmark task `plugin` of a plugin, with the keyword
    arguments `config`; `lighteval`, a task of lighteval's, whose items are on the Hub at the commit `revision`
    (null: the newest). `count` is the number of items, `samples` the number of answers per item. `verifier` names a
    plugin's verifier for the answers; an item of kind `plugin` may name another. `split_by_numbers` is for kind
    `reasoning_gym` and has a query source's meaning: the items take the half that such a source leaves.

    An item is asked as its text and, after an empty line, `instruction`. Tasks of kind `lighteval` have a template of
    lighteval's: `prompt: lighteval` puts it in place of the item's text, `prompt: item` does not use it. The default is
    `item` for AIME and MATH500, whose template would contradict the instruction, and `lighteval` for all others.
    """

    id: Id
    kind: Literal["reasoning_gym", "gsm8k", "file", "plugin", "lighteval"]
    count: PositiveInt
    samples: PositiveInt
    generator: str | None = None
    config: dict[str, Any] = {}
    split_by_numbers: bool = False
    path: InputPath | None = None
    plugin: Id | None = None
    task: str | None = None
    revision: Revision | None = None
    prompt: Literal["item", "lighteval"] | None = None
    instruction: str = ""
    verifier: Id | None = None

    @model_validator(mode="after")
    def _kind_has_its_key(self) -> "BenchmarkTask":
        keys = {
            "reasoning_gym": "generator",
            "file": "path",
            "plugin": "plugin",
            "lighteval": "task",
        }
        needs = keys.get(self.kind)
        if needs and getattr(self, needs) is None:
            raise ValueError(
                f"benchmark task {self.id!r}: kind {self.kind} needs the key {needs!r}"
            )
        if self.split_by_numbers and self.kind != "reasoning_gym":
            raise ValueError(
                f"benchmark task {self.id!r}: only kind reasoning_gym has split_by_numbers"
            )
        if self.kind != "lighteval" and self.revision is not None:
            raise ValueError(f"benchmark task {self.id!r}: only kind lighteval has a revision")
        if self.kind != "lighteval" and self.prompt is not None:
            raise ValueError(f"benchmark task {self.id!r}: only kind lighteval has `prompt`")
        if self.kind == "lighteval" and self.verifier is not None:
            raise ValueError(f"benchmark task {self.id!r}: lighteval scores its tasks itself")
        return self

    @property
    def asks_by_item(self) -> bool:
        """Whether a task of kind `lighteval` is asked without lighteval's template."""
        if self.prompt is None:
            return self.task in ASKED_BY_ITEM
        return self.prompt == "item"


class BenchmarkSampling(Section):
    """Sampling parameters of the student, with the names of vLLM (paper section 4: temperature 0.6, top-p 0.95)."""

    OLD_NAMES = {"max_new_tokens": "max_tokens"}

    temperature: NonNegativeFloat
    top_p: UnitInterval
    max_tokens: PositiveInt
    system_prompt: str | None


# The three scores of an answer; docs/scoring.md defines them.
ScoreKind = Literal["strict", "lenient", "finished"]


class Benchmark(Section):
    """Parameters of the benchmark stage.

    `score` is the score of the headline results; the report has all three. `strict`: a truncated answer scores 0.
    `lenient`: a truncated answer is graded if it has already marked its result. `finished`: truncated answers are left
    out.
    """

    tasks: list[BenchmarkTask]
    sampling: BenchmarkSampling
    score: ScoreKind

    @model_validator(mode="after")
    def _unique_ids(self) -> "Benchmark":
        check_unique([task.id for task in self.tasks], "benchmark.tasks")
        return self
