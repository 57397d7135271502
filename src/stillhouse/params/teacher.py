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

from stillhouse.params.base import (
    EndpointUrl,
    EnvironmentVariable,
    Id,
    InputPath,
    Revision,
    Section,
    TeacherRevision,
    UnitInterval,
)
from stillhouse.params.generate import Budget
from stillhouse.params.request import RequestOptions

# How a teacher marks its reasoning; stillhouse.generate.reasoning defines each.
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
    """Sampling parameters, with the names of vLLM (SamplingParams). `top_k: 0` and `min_p: 0` switch these off."""

    temperature: NonNegativeFloat
    top_p: UnitInterval
    top_k: NonNegativeInt = 0
    min_p: UnitInterval = 0.0
    repetition_penalty: PositiveFloat = 1.0
    max_tokens: PositiveInt


class Tokenizer(Section):
    """The tokenizer of a model."""

    model: str
    revision: Revision


class ReplaySolutions(Section):
    """The worked solutions of the queries."""

    kind: Literal["solutions"]


class ReplayFile(Section):
    """Answers in a JSONL or Parquet file.

    `columns` maps the columns of `stillhouse.models.replay.rows` to the file's names; if set, no other is read.
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
    """An engine of a plugin; `config` is its keyword arguments."""

    name: Id
    config: dict[str, Any] = {}


class Price(Section):
    """US dollars per million tokens."""

    prompt: NonNegativeFloat
    completion: NonNegativeFloat

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of one answer, in US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Teacher(Section):
    """All that decides a teacher's answers, in conf/teachers/<id>.yaml; tracked by the stages that ask it.

    `engine: replay` takes existing answers (`replay`) and counts their tokens with `tokenizer`. `engine: plugin` uses
    the engine that `plugin` names. `label` is the teacher's name in tables and cards. `price` sets the cost of an
    answer. `batch_invariant` makes vLLM's output independent of the rest of the batch (GPUs of compute capability 8.0
    and above).
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
    request: RequestOptions | None = None
    price: Price | None = None
    replay: Replay | None = None
    tokenizer: Tokenizer | None = None
    plugin: EnginePlugin | None = None

    @model_validator(mode="after")
    def _engine_has_its_keys(self) -> "Teacher":
        if self.request is not None and self.engine != "openai":
            raise ValueError("`request` is for engine openai only")
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
        """The source of a replay's answers, as reports show it; None for a model."""
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
    """Where a teacher runs and how fast; an entry of `teachers` in conf/runtime.yaml. It changes no answer.

    The parameters of vLLM have its names (EngineArgs). `cpu_kvcache_space` is its variable VLLM_CPU_KVCACHE_SPACE: the
    size of the KV cache on a CPU, in GiB.

    `in_flight_per_endpoint` is the largest number of concurrent requests to an endpoint; below it, the limit adapts to
    the endpoint. The API key is in the environment variable that `api_key_variable` names. A request that takes longer
    than `request_seconds` is cancelled and sent again.

    `budget` limits the cost of all answers of a run. Its dollars include those of the judge, if the judge has a price.
    A run that would exceed it stops with an error, and continues where it stopped when the budget is raised.

    `max_unanswered` is the share of the queries that may stay without an answer because the model refuses them or all
    tries fail; unless it is 0, one query always may. The run stops with an error when there are more.
    """

    OLD_NAMES = {
        "prefix_caching": "enable_prefix_caching",
        "cpu_kv_cache_gb": "cpu_kvcache_space",
    }

    budget: Budget | None = None
    max_num_seqs: PositiveInt = 64
    tensor_parallel_size: PositiveInt = 1
    pipeline_parallel_size: PositiveInt = 1
    enable_prefix_caching: bool = True
    gpu_memory_utilization: UnitInterval = 0.9
    cpu_kvcache_space: PositiveInt = 1
    endpoints: list[EndpointUrl] = []
    api_key_variable: EnvironmentVariable | None = None
    in_flight_per_endpoint: PositiveInt = 256
    request_seconds: PositiveFloat = 600.0
    max_unanswered: UnitInterval = 0.05


class TeacherFile(Section):
    """All of conf/teachers/<id>.yaml.

    `perplexity_cut` is the largest perplexity that the filter keeps; null: no limit. `runtime` is read from
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
