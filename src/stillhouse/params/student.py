"""A student: conf/students/<id>.yaml, and its entry in conf/runtime.yaml."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from stillhouse.params.base import Revision, Section, UnitInterval
from stillhouse.records import TurnFormat


class Recipe(Section):
    """Supervised fine-tuning, with the names of TRL (SFTConfig) where it has the parameter.

    `global_batch_size` is the number of sequences per optimizer step, over all devices. The paper (section 4.1) has
    learning rate 8e-5, cosine schedule, 5 % warm-up, batch size 64, 2 epochs, packed sequences of 32,768 tokens.
    """

    OLD_NAMES = {
        "scheduler": "lr_scheduler_type",
        "global_batch": "global_batch_size",
        "epochs": "num_train_epochs",
    }

    learning_rate: PositiveFloat
    lr_scheduler_type: Literal["cosine", "linear", "constant"]
    warmup_ratio: UnitInterval
    weight_decay: NonNegativeFloat
    global_batch_size: PositiveInt
    num_train_epochs: PositiveFloat
    max_steps: PositiveInt | None
    max_length: PositiveInt
    packing: bool
    dtype: Literal["float32", "bfloat16"]


class StudentText(Section):
    """What decides how many tokens an example has for a student, and which examples are too long."""

    model: str
    revision: Revision
    chat_template: str
    turn_format: TurnFormat
    max_length: PositiveInt


class Student(Section):
    """All that decides what a student learns, in conf/students/<id>.yaml; tracked by its stages.

    `chat_template` is a file that puts the assistant's turns between `{% generation %}` and `{% endgeneration %}`, so
    that the loss is computed on them alone. `base_model` is as for teachers; to set it later trains again.

    `turn_format` is how the last turn holds reasoning and answer. `think_tags`: `<think>..</think>`, an empty line, the
    answer. `answer_tags`: `<think>..</think><answer>..</answer>`, as in the data sets of the paper. What
    `benchmark.sampling.system_prompt` asks for should be the same (`stillhouse check` compares them).
    """

    label: str
    model: str
    revision: Revision
    license: str
    base_model: str | None = None
    chat_template: str
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
    """

    OLD_NAMES = {
        "batch_per_device": "per_device_train_batch_size",
        "cpu_kv_cache_gb": "cpu_kvcache_space",
    }

    per_device_train_batch_size: PositiveInt = 1
    gradient_checkpointing: bool = False
    accelerate_config: str | None = None
    max_num_seqs: PositiveInt = 64
    tensor_parallel_size: PositiveInt = 1
    gpu_memory_utilization: UnitInterval = 0.9
    cpu_kvcache_space: PositiveInt = 1


class StudentFile(Section):
    """All of conf/students/<id>.yaml. `runtime` is read from conf/runtime.yaml."""

    student: Student
    runtime: StudentRuntime = StudentRuntime()
