"""The section `benchmark` of params.yaml."""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from stillhouse.params.base import Id, InputPath, Section, Share, _unique


class BenchmarkTask(Section):
    """One benchmark of this run.

    `kind: reasoning_gym` takes items of a generator at held-out seeds; `gsm8k` packaged GSM8K items; `file` a JSONL
    file with `prompt` and `answer`; `plugin` items of a plugin's task, `plugin` being its name and `config` its keyword
    arguments; `lighteval` a task that lighteval has itself (its items come from the Hub). `verifier` names one of a
    plugin's that grades the answers; each item of `plugin` may name its own.
    """

    id: Id
    kind: Literal["reasoning_gym", "gsm8k", "file", "plugin", "lighteval"]
    count: PositiveInt
    samples: PositiveInt
    generator: str | None = None
    config: dict[str, Any] = {}
    path: InputPath | None = None
    plugin: Id | None = None
    task: str | None = None
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
        if self.kind == "lighteval" and self.verifier is not None:
            raise ValueError(f"benchmark task {self.id!r}: lighteval scores its tasks itself")
        return self


class BenchmarkSampling(Section):
    """Sampling of the student under test (paper section 4: temperature 0.6, top-p 0.95)."""

    temperature: NonNegativeFloat
    top_p: Share
    max_new_tokens: PositiveInt
    system_prompt: str | None


# Which of the three scores of an answer decides; docs/scoring.md says what each is.
ScoreKind = Literal["strict", "lenient", "finished"]


class Benchmark(Section):
    """Parameters of the benchmark stage.

    `score` names the score that decides; all three are reported. `strict`: an answer cut at the token limit scores 0.
    `lenient`: a cut answer counts if it marks its result already. `finished`: cut answers are left out.
    """

    tasks: list[BenchmarkTask]
    sampling: BenchmarkSampling
    score: ScoreKind

    @model_validator(mode="after")
    def _unique_ids(self) -> "Benchmark":
        _unique([task.id for task in self.tasks], "benchmark.tasks")
        return self
