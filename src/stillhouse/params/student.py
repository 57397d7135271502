"""A student: conf/students/<id>.yaml, and its entry in conf/runtime.yaml."""

from pydantic import PositiveInt

from stillhouse.params.base import Revision, Section, UnitInterval
from stillhouse.params.recipe import Recipe


class Student(Section):
    """All that decides what a student learns, in conf/students/<id>.yaml; tracked by its stages.

    `chat_template` is a file that puts the assistant's turns between `{% generation %}` and `{% endgeneration %}`; null
    takes TRL's training template for the tokenizer. The loss is on the last answer and its stop token alone.
    `allow_header_in_marks` accepts a template whose marks begin before the answer.
    """

    label: str
    model: str
    revision: Revision
    license: str
    chat_template: str | None
    allow_header_in_marks: bool = False
    recipe: Recipe


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
