"""A teacher (also a judge): conf/teachers/<id>.yaml, and its entry in conf/runtime.yaml."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from stillhouse.params.base import Id, InputPath, Revision, Section, Share, TeacherRevision
from stillhouse.params.generate import Budget

# How a teacher marks its reasoning; stillhouse.generate.reasoning says what each means.
Reasoning = Literal[
    "none",
    "think_tags",
    "open_think",
    "answer_tags",
    "thought_marks",
    "harmony",
    "separate_field",
]


class Sampling(Section):
    """How tokens are drawn. `top_k: 0` and `min_p: 0` switch these off."""

    temperature: NonNegativeFloat
    top_p: Share
    top_k: NonNegativeInt = 0
    min_p: Share = 0.0
    repetition_penalty: PositiveFloat = 1.0
    max_tokens: PositiveInt


class Tokenizer(Section):
    """A tokenizer by the model that has it."""

    model: str
    revision: Revision


class ReplaySolutions(Section):
    """The worked solutions that the query sources carry."""

    kind: Literal["solutions"]


class ReplayFile(Section):
    """Answers in a JSONL or Parquet file.

    `columns` maps the columns of `stillhouse.models.replay.rows` to the file's own names; given, no other is read.
    """

    kind: Literal["file"]
    path: InputPath
    columns: dict[str, str] = {}


class ReplayHub(Section):
    """Answers in the JSONL and Parquet files of a Hub data set at a pinned commit.

    `files` are glob patterns over the repository's paths; `columns` as for a file.
    """

    kind: Literal["hub"]
    repo: str
    revision: Revision
    files: list[str] = ["*.jsonl", "*.parquet"]
    columns: dict[str, str] = {}


Replay = Annotated[ReplaySolutions | ReplayFile | ReplayHub, Field(discriminator="kind")]


class EnginePlugin(Section):
    """The engine of a plugin; `config` is its keyword arguments."""

    name: Id
    config: dict[str, Any] = {}


class Price(Section):
    """US dollars per million tokens."""

    prompt: NonNegativeFloat
    completion: NonNegativeFloat

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Teacher(Section):
    """All that decides what a teacher says, in conf/teachers/<id>.yaml; tracked by the stages that ask it.

    `engine: replay` plays back answers that exist already (`replay`); `tokenizer` counts their tokens. `engine: plugin`
    asks the engine that `plugin` names.
    `label` is what tables and cards call this teacher. `price` gives each answer its cost. `batch_invariant` makes
    vLLM's output independent of what else runs in the batch (GPUs of compute capability 8.0 and above).
    """

    label: str
    engine: Literal["vllm", "openai", "replay", "plugin"]
    model: str
    revision: TeacherRevision
    license: str
    reasoning: Reasoning = "none"
    system_prompt: str | None = None
    chat_template: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    max_model_len: PositiveInt | None = None
    batch_invariant: bool = False
    sampling: Sampling | None = None
    price: Price | None = None
    replay: Replay | None = None
    tokenizer: Tokenizer | None = None
    plugin: EnginePlugin | None = None

    @model_validator(mode="after")
    def _engine_has_its_keys(self) -> "Teacher":
        if self.engine == "replay":
            if self.replay is None or self.tokenizer is None:
                raise ValueError(
                    "engine replay needs `replay` (`kind: solutions`, `file` or `hub`) and `tokenizer`"
                )
        elif self.engine == "plugin" and self.plugin is None:
            raise ValueError("engine plugin needs `plugin` (`name` and `config`)")
        elif self.sampling is None:
            raise ValueError(f"engine {self.engine} needs `sampling`")
        elif self.revision == "none" and self.engine == "vllm":
            raise ValueError("engine vllm needs a `revision` (a commit hash)")
        return self

    @property
    def replay_source(self) -> str | None:
        """Where a replay's answers are from, as reports show it; null for a model."""
        match self.replay:
            case ReplaySolutions():
                return "worked solutions of the queries"
            case ReplayFile(path=path):
                return path
            case ReplayHub(repo=repo, revision=revision):
                return f"{repo}@{revision}"
            case _:
                return None


class TeacherRuntime(Section):
    """Where a teacher runs and how fast, never what it says; an entry of `teachers` in conf/runtime.yaml.

    `in_flight_per_endpoint` is the most that an endpoint may have at once; below that its limit finds itself. The API
    key is read from the environment variable that `api_key_variable` names. A request that has not ended after
    `request_seconds` is cut off and sent again.

    `budget` limits what all answers of a run may cost together; its dollars include those of the judge, if that has a
    price. It changes no answer either: a run that would go beyond it stops with an error, and goes on where it stopped
    when the budget is raised.
    """

    budget: Budget | None = None
    max_num_seqs: PositiveInt = 64
    tensor_parallel_size: PositiveInt = 1
    pipeline_parallel_size: PositiveInt = 1
    prefix_caching: bool = True
    gpu_memory_utilization: Share = 0.9
    cpu_kv_cache_gb: PositiveFloat = 1.0
    endpoints: list[str] = []
    api_key_variable: str | None = None
    in_flight_per_endpoint: PositiveInt = 256
    request_seconds: PositiveFloat = 600.0


class TeacherFile(Section):
    """All of conf/teachers/<id>.yaml.

    `perplexity_cut` is the largest perplexity that the filter keeps; null: no cut. `runtime` comes from
    conf/runtime.yaml.
    """

    teacher: Teacher
    perplexity_cut: PositiveFloat | None
    runtime: TeacherRuntime = TeacherRuntime()

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> "TeacherFile":
        budget = self.runtime.budget
        if budget is not None and budget.cost is not None and self.teacher.price is None:
            raise ValueError(
                "the budget.cost of its runtime needs `teacher.price` (dollars per million tokens)"
            )
        return self
