"""The shape of every YAML file that a user writes, and the one way a stage reads it.

`params.yaml` holds the knobs of a run, `conf/teachers/<id>.yaml` one teacher (also a judge), `conf/students/<id>.yaml`
one student. Unknown or missing keys are errors that name file, key and what is allowed. Inside a pipeline a stage gets
only what it declares under `params:` in dvc.yaml (`load_stage`), so that nothing untracked can change an output.
`conf/runtime.yaml` is the exception by design: it says where each teacher and student runs and how fast, changes no
output, and is tracked by no stage.
"""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from stillhouse import plugins
from stillhouse.errors import StillhouseError
from stillhouse.records import Category

PARAMS_FILE = Path("params.yaml")
TEACHERS_FOLDER = Path("conf/teachers")
STUDENTS_FOLDER = Path("conf/students")
RUNTIME_FILE = Path("conf/runtime.yaml")
PARALLEL = "parallel"  # folder and repository of all teachers' answers side by side
PLACEHOLDER = "FILL_IN"  # stands in a profile where only the user can know the value


class ParamsError(StillhouseError):
    """A YAML file of the run is missing, malformed or contradicts itself."""


def _check_id(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(
            "an id must match [a-z][a-z0-9_]* (dots, slashes and @ break DVC's stage names)"
        )
    return value


def _check_revision(value: str) -> str:
    if value == PLACEHOLDER or re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
        return value
    raise ValueError(
        "a revision must be a commit hash (40 hex digits) or a file's sha256 (64), "
        "never a branch or tag such as `main`: "
        "a moving name would change the result without a trace"
    )


def _check_teacher_revision(value: str) -> str:
    return value if value == "none" else _check_revision(value)


def _check_input(value: str) -> str:
    if value == PLACEHOLDER or (value.startswith("inputs/") and ".." not in value):
        return value
    raise ValueError(
        "a file that a run reads must lie in inputs/, the folder that the stages depend on: "
        "elsewhere a changed file would change the result without a trace"
    )


Id = Annotated[str, AfterValidator(_check_id)]
Revision = Annotated[str, AfterValidator(_check_revision)]
TeacherRevision = Annotated[str, AfterValidator(_check_teacher_revision)]
InputPath = Annotated[str, AfterValidator(_check_input)]
# Column of a row -> the value that it must have, or a list of those it may have.
Scalar = str | bool | int | float
Where = dict[str, Scalar | Annotated[list[Scalar], Field(min_length=1)]]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all parameter sections: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Run(Section):
    """Identity of the run."""

    name: Id
    seed: NonNegativeInt


class GeneratorSource(Section):
    """Queries of one seeded reasoning-gym generator."""

    id: Id
    kind: Literal["reasoning_gym"]
    category: Category
    license: str
    verifier: Id | None = None
    generator: str
    count: PositiveInt
    config: dict[str, Any] = {}


class EmbeddedSource(Section):
    """One of the small query sets that ship with stillhouse (`stillhouse/queries/embedded/<name>.yaml`)."""

    id: Id
    kind: Literal["embedded"]
    category: Category
    license: str
    verifier: Id | None = None
    name: str


class FileSource(Section):
    """Queries of the user's own: JSONL or Parquet with the columns of `Query`.

    `columns` maps these to the file's own names; given, no other column is read. `where` takes only the rows that have
    the given value, or one of the given values, in each of the named columns (the file's own names); `limit` counts
    what is taken. A row's own `license` goes before the source's.

    Any source may name the `verifier` of a plugin that grades its answers in place of the category's.
    """

    id: Id
    kind: Literal["file"]
    category: Category
    license: str
    verifier: Id | None = None
    path: InputPath
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None


class HubSource(Section):
    """Queries of a Hub data set at a pinned commit; `columns` and `where` as for a file."""

    id: Id
    kind: Literal["hub"]
    category: Category
    license: str
    verifier: Id | None = None
    repo: str
    revision: Revision
    config: str | None = None
    split: str = "train"
    columns: dict[str, str] = {}
    where: Where = {}
    limit: PositiveInt | None = None


class PluginSource(Section):
    """Queries that a plugin's source adapter yields; `config` is its keyword arguments."""

    id: Id
    kind: Literal["plugin"]
    category: Category
    license: str
    verifier: Id | None = None
    adapter: Id
    config: dict[str, Any] = {}


Source = Annotated[
    GeneratorSource | EmbeddedSource | FileSource | HubSource | PluginSource,
    Field(discriminator="kind"),
]


class Clean(Section):
    """Rules that drop a query for its text alone (paper section 2.1; the non-ASCII limit was never published)."""

    min_chars: NonNegativeInt
    max_chars: PositiveInt
    max_non_ascii: Share
    drop_urls: bool
    drop_tables: bool
    drop_images: bool


class Dedup(Section):
    """Near-duplicate removal by MinHash over word shingles that keep every number."""

    threshold: Share
    permutations: PositiveInt
    shingle_words: PositiveInt


class Decontaminate(Section):
    """Removal of queries that overlap a benchmark of this run: exact text, or a shared word n-gram."""

    ngram_words: PositiveInt
    min_overlap: Share


class Queries(Section):
    """Parameters of the queries stage."""

    sources: list[Source]
    clean: Clean
    dedup: Dedup
    decontaminate: Decontaminate

    @model_validator(mode="after")
    def _unique_ids(self) -> "Queries":
        _unique([source.id for source in self.sources], "queries.sources")
        return self


class Budget(Section):
    """An upper limit: tokens of prompts and completions together, or US dollars by the teacher's `price`, or both."""

    tokens: PositiveInt | None = None
    cost: PositiveFloat | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> "Budget":
        if self.tokens is None and self.cost is None:
            raise ValueError("a budget needs `tokens` or `cost`, or both")
        return self


class Longer(Section):
    """Where an answer hit the token limit, the next attempt may have `factor` times as many, up to `max_tokens`."""

    factor: Annotated[float, Field(gt=1)]
    max_tokens: PositiveInt


class CategoryRules(Section):
    """What one category has otherwise than `generate` says; null: the same."""

    max_attempts: PositiveInt | None = None
    query_budget: Budget | None = None


class Generate(Section):
    """Parameters of the generate stage: when to stop asking a query.

    A query is asked until an answer is accepted, or `max_attempts` answers were not, or its attempts have used up
    `query_budget` (the one that reaches it is still kept). `after_truncated` gives longer answers a second chance.
    """

    max_attempts: PositiveInt
    query_budget: Budget | None = None
    after_truncated: Longer | None = None
    by_category: dict[Category, CategoryRules] = {}

    def rules(self, category: Category) -> tuple[int, Budget | None]:
        """Return the largest number of attempts and the budget of one query of a category."""
        own = self.by_category.get(category, CategoryRules())
        return own.max_attempts or self.max_attempts, own.query_budget or self.query_budget

    @property
    def needs_price(self) -> bool:
        """Whether a budget is in dollars, so that each teacher needs a price."""
        budgets = [self.query_budget, *(own.query_budget for own in self.by_category.values())]
        return any(budget is not None and budget.cost is not None for budget in budgets)


class CodeLimits(Section):
    """Limits on one program under test; seconds are of processor time.

    `pass_share` is the share of the tests run that must pass. `packages` are distributions of this environment that
    programs may import, beside the standard library.
    """

    isolation: Literal["bubblewrap", "rlimits"]
    max_tests: PositiveInt
    pass_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    test_seconds: PositiveFloat
    total_seconds: PositiveFloat
    memory_mb: PositiveInt
    output_mb: PositiveFloat = 16.0
    packages: list[str] = []


class RewardModel(Section):
    """A reward model for free answers: a sequence classifier with one output per attribute, on a scale of 0..4.

    `attributes` names the outputs in their order; coherence, correctness and helpfulness must be among them.
    """

    model: str
    revision: Revision
    dtype: Literal["float32", "bfloat16"]
    max_tokens: PositiveInt
    attributes: list[str]

    @model_validator(mode="after")
    def _has_the_three(self) -> "RewardModel":
        missing = {"coherence", "correctness", "helpfulness"} - set(self.attributes)
        if missing or len(set(self.attributes)) != len(self.attributes):
            raise ValueError(
                f"attributes must name each output once, with coherence, correctness and helpfulness: {self.attributes}"
            )
        return self


AskJudge = Literal["never", "unread_only", "any_no"]
# What each means, to be read after "in math" and "in science".
JUDGE_ROLES: dict[AskJudge, str] = {
    "never": "it is never asked",
    "unread_only": "it decides only where the rule could not read both sides or there is no rule",
    "any_no": "it may turn a rule's no into a yes, and decides where there is no rule",
}


class JudgePolicy(Section):
    """The judge: `model` names a file in conf/teachers; `math` and `science` say when it decides beside the rule.

    `never`: it is not asked. `unread_only`: it is asked where the rule could not read both sides, and where science has
    no rule for the reference; it never overrules a rule that read both and found them different. `any_no`: it may turn
    every no of the rule into a yes, as in the paper. Free answers and demands have no rule, so the judge decides them.
    """

    model: Id
    math: AskJudge
    science: AskJudge


class Verify(Section):
    """Parameters of verification.

    `reward` scores the categories multiturn and other; where it is null, the judge does.
    """

    threshold: Share
    judge: JudgePolicy
    reward: RewardModel | None = None
    item_cpu_seconds: PositiveFloat
    code: CodeLimits


class PerplexityScorer(Section):
    """The model whose surprise is measured."""

    model: str
    revision: Revision
    dtype: Literal["float32", "bfloat16"]
    max_tokens: PositiveInt


class NgramFilter(Section):
    """Template-like repetition: n-grams of `n` tokens that occur more than `max_count` times over the teacher's set.

    `action` says what is dropped: `sample` the whole response, `off` nothing.
    """

    n: PositiveInt
    max_count: PositiveInt
    action: Literal["sample", "off"]


class Filter(Section):
    """Parameters of the filter stage. The perplexity cut is in each teacher's file: it differs by teacher.

    `rules` are those of plugins, in order: `name`, or `name: {parameter: value}`. They are applied after the built-in
    rules on one response and before `repetition`, which compares responses.
    """

    require_think: bool
    max_tokens: PositiveInt
    ngram: NgramFilter
    rules: list[Id | dict[Id, dict[str, Any]]] = []

    @property
    def custom_rules(self) -> list[tuple[str, dict[str, Any]]]:
        """The names of the plugins' rules, in order, each with its parameters."""
        return [
            named
            for rule in self.rules
            for named in ([(rule, {})] if isinstance(rule, str) else rule.items())
        ]

    @model_validator(mode="after")
    def _one_by_one(self) -> "Filter":
        if any(isinstance(rule, dict) and len(rule) != 1 for rule in self.rules):
            raise ValueError(
                "rules: each entry is one rule: `- name`, or `- name: {parameter: value}`"
            )
        _unique([name for name, _ in self.custom_rules], "filter.rules")
        return self


class Package(Section):
    """Names and terms of the released data sets.

    `layout: per_teacher` makes one repository per teacher and one with all answers side by side; `single` makes one
    repository with a configuration per teacher. `allow_licenses` names licences of sources or teachers that stillhouse
    does not know and that you have read; any other unknown licence stops the release. `code_url` is where the git
    repository of this project can be cloned from. `gated` makes readers ask for access first, which is granted at once
    (auto) or by hand (manual).
    """

    namespace: str
    name: Id
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    license: str
    layout: Literal["per_teacher", "single"] = "per_teacher"
    allow_licenses: list[str] = []
    code_url: str | None = None
    languages: list[str] = ["en"]
    pretty_name: str
    private: bool
    gated: Literal[False, "auto", "manual"] = False


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


class Report(Section):
    """Parameters of the report stage."""

    resamples: PositiveInt
    confidence: Share


class RunParams(Section):
    """All of params.yaml.

    `plugins` are Python modules of the project or installed ones, which extend stillhouse (docs/how-to/extend.md).
    """

    run: Run
    plugins: list[str] = []
    teacher_ids: list[Id]
    student_ids: list[Id]
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
        _unique(self.teacher_ids, "teacher_ids")
        if PARALLEL in self.teacher_ids:
            raise ValueError(
                f"teacher_ids: {PARALLEL!r} names the release of all teachers side by side; rename that teacher"
            )
        _unique(self.student_ids, "student_ids")
        return self


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


class Recipe(Section):
    """Supervised fine-tuning (paper section 4.1: lr 8e-5, 32,768 tokens, packing, batch 64, 2 epochs, cosine, 5 %)."""

    learning_rate: PositiveFloat
    scheduler: Literal["cosine", "linear", "constant"]
    warmup_ratio: Share
    weight_decay: NonNegativeFloat
    global_batch: PositiveInt
    epochs: PositiveFloat
    max_steps: PositiveInt | None
    max_length: PositiveInt
    packing: bool
    dtype: Literal["float32", "bfloat16"]


class Student(Section):
    """All that decides what a student learns, in conf/students/<id>.yaml; tracked by its stages.

    `chat_template` is a file whose assistant turns stand between `{% generation %}` marks, so that the loss can be
    masked to them.
    """

    label: str
    model: str
    revision: Revision
    license: str
    chat_template: str
    recipe: Recipe


class StudentRuntime(Section):
    """Where a student is trained and benchmarked and how fast; an entry of `students` in conf/runtime.yaml."""

    batch_per_device: PositiveInt = 1
    gradient_checkpointing: bool = False
    accelerate_config: str | None = None
    max_num_seqs: PositiveInt = 64
    tensor_parallel_size: PositiveInt = 1
    gpu_memory_utilization: Share = 0.9
    cpu_kv_cache_gb: PositiveFloat = 1.0


class StudentFile(Section):
    """All of conf/students/<id>.yaml. `runtime` comes from conf/runtime.yaml."""

    student: Student
    runtime: StudentRuntime = StudentRuntime()


SectionT = TypeVar("SectionT", bound=Section)
ValueT = TypeVar("ValueT")


def _unique(ids: list[str], where: str) -> None:
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise ValueError(f"{where}: these ids stand twice: {', '.join(repeated)}")


def parse(section: type[SectionT], content: object, where: str) -> SectionT:
    """Return the checked section.

    Raises:
        ParamsError: one line per fault, each with `where` (the file), the key, what was found and what is allowed.
    """
    try:
        return section.model_validate(content)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
            message = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(
                fault["type"], fault["msg"].removeprefix("Value error, ")
            )
            found = (
                ""
                if fault["type"] == "missing" or isinstance(fault["input"], dict)
                else f" (found {fault['input']!r})"
            )
            lines.append(f"{where}: {key}: {message}{found}{_allowed(section, fault)}")
        raise ParamsError("\n".join(lines)) from None


def _allowed(section: type[BaseModel], fault: Mapping[str, Any]) -> str:
    """Return the keys allowed beside an unknown one, as a hint."""
    if fault["type"] != "extra_forbidden":
        return ""
    here: Any = section
    for part in fault["loc"][:-1]:
        field = (
            here.model_fields.get(part)
            if isinstance(part, str) and hasattr(here, "model_fields")
            else None
        )
        here = field.annotation if field else None
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return ""
    return f"; allowed here: {', '.join(sorted(here.model_fields))}"


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file as DVC reads it (YAML 1.2: `1e-5` is a number, `no` is text).

    Raises:
        ParamsError: the file is missing, is not YAML, or its top level is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(
            f"{path}: a mapping of keys was expected at the top level, found {type(content).__name__}"
        )
    return content


def load_run(root: Path = Path()) -> RunParams:
    """Return params.yaml of the project in `root`."""
    path = root / PARAMS_FILE
    return parse(RunParams, read_yaml(path), str(path))


def load_teacher(teacher_id: str, root: Path = Path()) -> TeacherFile:
    """Return conf/teachers/<id>.yaml, with its runtime from conf/runtime.yaml.

    Raises:
        ParamsError: no such teacher (the message lists those there are), or a fault in one of the files.
    """
    return _load_by_id(TeacherFile, TeacherRuntime, teacher_id, TEACHERS_FOLDER, root)


def load_student(student_id: str, root: Path = Path()) -> StudentFile:
    """Return conf/students/<id>.yaml, with its runtime from conf/runtime.yaml; errors as in `load_teacher`."""
    return _load_by_id(StudentFile, StudentRuntime, student_id, STUDENTS_FOLDER, root)


def _load_by_id(
    section: type[SectionT], runtime: type[Section], file_id: str, folder: Path, root: Path
) -> SectionT:
    path = root / folder / f"{file_id}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(
            f"{path}: no such file, but the id {file_id!r} is used; ids there: {known}"
        )
    content = read_yaml(path)
    where = f"{root / RUNTIME_FILE}: {folder.name}.{file_id}"
    own = runtime_of(folder.name, file_id, root)
    if "runtime" in content:
        warnings.warn(old_runtime(path), FutureWarning, stacklevel=3)
        own, where = content["runtime"], f"{path}: runtime"
    return parse(section, content | {"runtime": parse(runtime, own, where)}, str(path))


def old_runtime(path: Path) -> str:
    """Return the note on a `runtime` section in a teacher's or student's file, which version 0.2 still reads."""
    return f"{path}: runtime: move it to {RUNTIME_FILE} ({path.parent.name}.{path.stem}); here it will be an error"


def runtime_of(kind: str, file_id: str, root: Path = Path()) -> dict[str, Any]:
    """Return the keys of one teacher or student in conf/runtime.yaml, over those of `defaults`.

    Args:
        kind: "teachers" or "students".
        file_id: the teacher's or student's id.
        root: the project.

    Raises:
        ParamsError: the file is no YAML, or not a mapping of mappings.
    """
    path = root / RUNTIME_FILE
    if not path.is_file():
        return {}
    content = read_yaml(path)
    if unknown := sorted(set(content) - {"defaults", "teachers", "students"}):
        raise ParamsError(
            f"{path}: {unknown[0]}: unknown key; allowed here: defaults, students, teachers"
        )
    own: dict[str, Any] = {}
    for keys in (("defaults", kind), (kind, file_id)):
        found: Any = content
        for key in keys:
            found = found.get(key) or {}
            if not isinstance(found, dict):
                raise ParamsError(f"{path}: {'.'.join(keys)}: a mapping of keys was expected")
        own |= found
    return own


def load_recorded(section: type[SectionT], path: Path) -> SectionT:
    """Return the tracked part of a teacher's file as the generate stage recorded it beside the responses.

    A stage over all teachers cannot list each teacher's parameters in dvc.yaml.

    Raises:
        ParamsError: the record is missing or malformed.
    """
    return parse(section, read_yaml(path), str(path))


class StageParams:
    """The parameters that one pipeline stage tracks, and nothing else.

    Args:
        stage: its name, for messages.
        tracked: values by what dvc.yaml lists: a dotted key of params.yaml, or `<file>:<key>`.
    """

    def __init__(self, stage: str, tracked: dict[str, Any]) -> None:
        self.stage = stage
        self._tracked = tracked

    def value(self, key: str, path: Path = PARAMS_FILE) -> Any:
        """Return the value of a dotted key that the stage tracks, by itself or with a section around it.

        Raises:
            ParamsError: the stage does not track it: its output would depend on something untracked.
        """
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            name = name if path == PARAMS_FILE else f"{path}:{name}"
            if name in self._tracked:
                return self._below(self._tracked[name], parts[length:], f"{path}: {key}")
        raise ParamsError(
            f"dvc.yaml: stage {self.stage!r} reads {key!r} of {path} but does not list it under params"
        )

    def _below(self, value: Any, parts: list[str], where: str) -> Any:
        for part in parts:
            if not isinstance(value, dict) or part not in value:
                raise ParamsError(f"{where}: missing key")
            value = value[part]
        return value

    def read(self, kind: type[ValueT], key: str) -> ValueT:
        """Return a checked value of params.yaml that is no section, such as a list of sections."""
        value = self.value(key)
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise ParamsError(f"{PARAMS_FILE}: {key}: {error.errors()[0]['msg']}") from None

    def section(self, section: type[SectionT], key: str) -> SectionT:
        """Return a checked section of params.yaml, which the stage tracks as a whole or key by key.

        Raises:
            ParamsError: a fault in it, or it is tracked key by key and one key is not.
        """
        parts = {
            name.removeprefix(f"{key}."): value
            for name, value in self._tracked.items()
            if name.startswith(f"{key}.")
        }
        if parts and key not in self._tracked:
            for name in section.model_fields:
                parts.setdefault(name, self.value(f"{key}.{name}"))
            return parse(section, parts, f"{PARAMS_FILE}: {key}")
        return parse(section, self.value(key), f"{PARAMS_FILE}: {key}")

    def teacher(self, teacher_id: str) -> Teacher:
        """Return what decides what a teacher says."""
        path = TEACHERS_FOLDER / f"{teacher_id}.yaml"
        return parse(Teacher, self.value("teacher", path), f"{path}: teacher")

    def student(self, student_id: str) -> Student:
        """Return what decides what a student learns."""
        path = STUDENTS_FOLDER / f"{student_id}.yaml"
        return parse(Student, self.value("student", path), f"{path}: student")


def load_stage() -> StageParams:
    """Return the parameters that the running DVC stage tracks.

    Raises:
        ParamsError: not started by DVC, or a tracked file or key is missing.
    """
    stage = os.environ.get("DVC_STAGE")
    if not stage:
        raise ParamsError(
            "a stage script runs inside the pipeline: use `dvc repro --single-item <stage>`"
        )
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    tracked: dict[str, Any] = {}
    try:
        with Repo() as repo:
            (found,) = repo.stage.collect(stage)
            for dep in found.params:
                path = os.path.relpath(dep.fs_path, repo.root_dir)
                values = dep.read_params(flatten=True)
                if missing := sorted(set(dep.params) - set(values)):
                    raise ParamsError(f"{path}: {missing[0]}: missing key")
                prefix = "" if Path(path) == PARAMS_FILE else f"{path}:"
                tracked |= {f"{prefix}{key}": value for key, value in values.items()}
    except DvcException as error:
        raise ParamsError(f"parameters of stage {stage}: {error}") from error
    found = StageParams(stage, tracked)
    if "plugins" in tracked:  # a stage that uses none does not track them
        plugins.load(tracked["plugins"])
    return found
