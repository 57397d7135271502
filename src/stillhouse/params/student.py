"""A student: conf/students/<id>.yaml, and its entry in conf/runtime.yaml."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from stillhouse.params.base import Revision, Section, UnitInterval


class Recipe(Section):
    """Supervised fine-tuning (paper section 4.1: lr 8e-5, 32,768 tokens, packing, batch 64, 2 epochs, cosine, 5 %)."""

    learning_rate: PositiveFloat
    scheduler: Literal["cosine", "linear", "constant"]
    warmup_ratio: UnitInterval
    weight_decay: NonNegativeFloat
    global_batch: PositiveInt
    epochs: PositiveFloat
    max_steps: PositiveInt | None
    max_length: PositiveInt
    packing: bool
    dtype: Literal["float32", "bfloat16"]


class Student(Section):
    """All that decides what a student learns, in conf/students/<id>.yaml; tracked by its stages.

    `chat_template` is a file that puts the assistant's turns between `{% generation %}` and `{% endgeneration %}`, so
    that the loss is computed on them alone.
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
    gpu_memory_utilization: UnitInterval = 0.9
    cpu_kv_cache_gb: PositiveFloat = 1.0


class StudentFile(Section):
    """All of conf/students/<id>.yaml. `runtime` is read from conf/runtime.yaml."""

    student: Student
    runtime: StudentRuntime = StudentRuntime()
