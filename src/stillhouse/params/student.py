"""A student: conf/students/<id>.yaml, and its entry in conf/runtime.yaml."""

from typing import Literal

from pydantic import PositiveInt, model_validator

from stillhouse.params.base import Revision, Section, UnitInterval
from stillhouse.params.recipe import Recipe
from stillhouse.records import TurnFormat


class StudentText(Section):
    """What decides how many tokens an example has for a student, and which examples are too long."""

    model: str
    revision: Revision
    chat_template: str | None
    turn_format: TurnFormat
    max_length: PositiveInt


class Student(Section):
    """All that decides what a student learns, in conf/students/<id>.yaml; tracked by its stages.

    `chat_template` is a file that puts the assistant's turns between `{% generation %}` and `{% endgeneration %}`; null
    takes TRL's training template for the tokenizer. The loss is on the last answer and its stop token alone.
    `allow_header_in_marks` accepts a template whose marks begin before the answer. `base_model` is as for teachers; to
    set it later trains again.

    `turn_format` is how the last turn holds reasoning and answer. `think_tags`: `<think>..</think>`, an empty line, the
    answer. `answer_tags`: `<think>..</think><answer>..</answer>`, as in the data sets of the paper. What
    `benchmark.sampling.system_prompt` asks for should be the same (`stillhouse check` compares them).
    """

    label: str
    model: str
    revision: Revision
    license: str
    base_model: str | None = None
    chat_template: str | None
    allow_header_in_marks: bool = False
    turn_format: TurnFormat
    recipe: Recipe

    @property
    def text(self) -> StudentText:
        """The part that decides the tokens of an example."""
        return StudentText(
            model=self.model,
            revision=self.revision,
            chat_template=self.chat_template,
            turn_format=self.turn_format,
            max_length=self.recipe.max_length,
        )


class TrainingBudget(Section):
    """What is equal for the students of all teachers; `training_budget` in params.yaml.

    `rows`: the same queries, at most `limit`. `loss_tokens`: about the same number of tokens in the loss, `limit` or,
    where a teacher has fewer, all of that teacher's; each teacher's queries are the first in one order. `steps`: the
    same queries, and `limit` optimizer steps for each student, in place of `recipe.max_steps`.
    """

    unit: Literal["rows", "loss_tokens", "steps"]
    limit: PositiveInt | None

    @model_validator(mode="after")
    def _steps_have_a_number(self) -> "TrainingBudget":
        if self.unit == "steps" and self.limit is None:
            raise ValueError("unit `steps` needs a `limit`: the optimizer steps of each student")
        return self


class StudentRuntime(Section):
    """Where a student is trained and benchmarked and how fast; an entry of `students` in conf/runtime.yaml.

    The parameters have the names of TRL (SFTConfig) and vLLM (EngineArgs); `cpu_kvcache_space` as for teachers.
    `save_steps` is the number of optimizer steps between checkpoints, `report_to` the trackers that follow the
    training (`dvclive`, `tensorboard`, `wandb` and others of transformers; their packages are not in the locks).
    """

    OLD_NAMES = {
        "batch_per_device": "per_device_train_batch_size",
        "cpu_kv_cache_gb": "cpu_kvcache_space",
    }

    per_device_train_batch_size: PositiveInt = 1
    gradient_checkpointing: bool = False
    accelerate_config: str | None = None
    save_steps: PositiveInt = 50
    report_to: list[str] = []
    max_num_seqs: PositiveInt = 64
    tensor_parallel_size: PositiveInt = 1
    gpu_memory_utilization: UnitInterval = 0.9
    cpu_kvcache_space: PositiveInt = 1


class StudentFile(Section):
    """All of conf/students/<id>.yaml. `runtime` is read from conf/runtime.yaml."""

    student: Student
    runtime: StudentRuntime = StudentRuntime()
