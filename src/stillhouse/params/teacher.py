"""A teacher (also a judge): conf/teachers/<id>.yaml, and its entry in conf/runtime.yaml."""

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from stillhouse.marks import PRESETS, MarkPreset, ThinkMarks
from stillhouse.params.base import (
    EndpointUrl,
    EnvironmentVariable,
    Id,
    InputPath,
    Revision,
    Section,
    TeacherRevision,
    UnitInterval,
    Where,
)
from stillhouse.params.generate import Budget
from stillhouse.params.request import RequestOptions

NonEmpty = Annotated[str, Field(min_length=1)]


class ReasoningMarks(Section):
    """Any pair of marks around the reasoning; what follows the second is the answer.

    `answer_open` and `answer_close` are optional marks around the answer. `prompt_opens`: the chat template has
    opened the block, so that an answer without marks is unfinished reasoning. `required: false` for a model that
    thinks only sometimes: a run then does not stop because most answers have no mark.
    """

    open: NonEmpty
    close: NonEmpty
    answer_open: NonEmpty | None = None
    answer_close: NonEmpty | None = None
    prompt_opens: bool = False
    required: bool = True

    @model_validator(mode="after")
    def _marks_are_pairs(self) -> "ReasoningMarks":
        if self.open == self.close or (
            self.answer_open is not None and self.answer_open == self.answer_close
        ):
            raise ValueError("the two marks of a pair must differ")
        if (self.answer_open is None) != (self.answer_close is None):
            raise ValueError("`answer_open` and `answer_close` go together")
        return self


# How a teacher marks its reasoning; stillhouse.generate.reasoning defines each.
ReasoningFormat = Literal["none", "harmony", "separate_field", MarkPreset]
# By its type, so that a wrong value has one message instead of one for each possibility.
Reasoning = Annotated[
    Annotated[ReasoningFormat, Tag("format")] | Annotated[ReasoningMarks, Tag("marks")],
    Discriminator(lambda value: "marks" if isinstance(value, dict | ReasoningMarks) else "format"),
]


def marks_of(reasoning: Reasoning) -> ThinkMarks | None:
    """Return the marks of a format; null for `none`, `harmony` and `separate_field`, which have no such pair."""
    if isinstance(reasoning, ReasoningMarks):
        return ThinkMarks(
            (reasoning.open,),
            (reasoning.close,),
            reasoning.answer_open,
            reasoning.answer_close,
            prompt_opens=reasoning.prompt_opens,
            required=reasoning.required,
        )
    return PRESETS.get(reasoning)


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
    """The worked solutions of the queries.

    `write` decides how a solution is written. `reasoning`: the steps in think tags, then the answer; the teacher's
    `reasoning` is `think_tags`. The others have no reasoning: `steps` is the steps, then the answer; `result` is the
    answer alone; `result_first` is the answer, then the same steps.
    """

    kind: Literal["solutions"]
    write: Literal["reasoning", "steps", "result", "result_first"] = "reasoning"


class ReplayFile(Section):
    """Answers in a JSONL or Parquet file.

    `columns` maps the columns of `stillhouse.models.replay.rows` to the file's names; if set, no other is read. `where`
    selects the rows that have the given value, or one of the given values, in each of the named columns (the file's
    names). `limit` is the largest number of rows, counted after `where`. `strip_prefixes` and `strip_suffixes` are
    texts around the file's questions that the queries do not have; the first that fits is removed from a user turn.
    """

    kind: Literal["file"]
    path: InputPath
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None
    strip_prefixes: list[NonEmpty] = []
    strip_suffixes: list[NonEmpty] = []


class ReplayHub(Section):
    """Answers in the JSONL and Parquet files of a Hub data set at a pinned commit.

    `files` are glob patterns over the repository's paths; the other keys are as for a file.
    """

    kind: Literal["hub"]
    repo: str
    revision: Revision
    files: list[str] = ["*.jsonl", "*.parquet"]
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None
    strip_prefixes: list[NonEmpty] = []
    strip_suffixes: list[NonEmpty] = []


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
    answer. `sources` are the query sources (`queries.sources`) that it is asked; null: all. `batch_invariant` makes
    vLLM's output independent of the rest of the batch (GPUs of compute capability 8.0 and above). `base_model` is the
    pretrained model or family that the weights come from (`Qwen2.5`): report and cards warn where teacher, student,
    judge and scorer share one. Without it, `model` is compared. `seed_name` goes into the seed of each request, null:
    the teacher's id. A renamed teacher that has its old id here finds its old answers in the journal. `alias_of` names
    the teacher that this one is once more, with other sampling seeds, as a control (`controls.alias`); all other keys
    but `label` and `seed_name` are those of that teacher.
    """

    label: str
    engine: Literal["vllm", "openai", "replay", "plugin"]
    model: str
    revision: TeacherRevision
    license: str
    base_model: NonEmpty | None = None
    reasoning: Reasoning = "none"
    system_prompt: str | None = None
    chat_template: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    max_model_len: PositiveInt | None = None
    batch_invariant: bool = False
    sampling: Sampling | None = None
    request: RequestOptions | None = None
    price: Price | None = None
    sources: list[Id] | None = None
    replay: Replay | None = None
    tokenizer: Tokenizer | None = None
    plugin: EnginePlugin | None = None
    # Left out of records where it is null, so that records of older versions stay equal.
    seed_name: Id | None = Field(default=None, exclude_if=lambda name: name is None)
    alias_of: Id | None = Field(default=None, exclude_if=lambda name: name is None)

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

    @model_validator(mode="after")
    def _a_mapped_reasoning_is_read(self) -> "Teacher":
        mapped = (
            isinstance(self.replay, ReplayFile | ReplayHub) and "reasoning" in self.replay.columns
        )
        if mapped and self.reasoning != "separate_field":
            raise ValueError(
                "replay.columns maps `reasoning`, which only `reasoning: separate_field` reads; set that, or leave "
                "the column out"
            )
        return self

    @model_validator(mode="after")
    def _a_written_solution_has_its_format(self) -> "Teacher":
        written = isinstance(self.replay, ReplaySolutions) and self.replay.write
        if written and written != "reasoning" and self.reasoning != "none":
            raise ValueError(
                f"replay.write: {written} writes no reasoning; set `reasoning: none`, or `write: reasoning`"
            )
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
