"""What stages that run side by side share: the GPUs of a GPU host, else the cores of the CPU."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stillhouse.errors import StillhouseError
from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_run, load_student, load_teacher
from stillhouse.params.student import StudentRuntime
from stillhouse.params.teacher import TeacherFile

_DEVICE = re.compile(r"nvidia\d+")
# Torch with two threads gives fewer tokens a second than two processes with one each, and less than one thread where
# another process is busy. vLLM would bind all processes to the same cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


class SlotsError(StillhouseError):
    """A stage needs more GPUs than there are."""


class Slots(NamedTuple):
    """What can be given to stages: `gpus` by name, or none, and the number of stages at the same time."""

    gpus: Sequence[str]
    jobs: int


def slots_of_machine(jobs: int | None) -> Slots:
    """Return the slots of this machine: `jobs`, or one for each GPU or, without a GPU, for each core."""
    gpus = visible_gpus()
    return Slots(gpus, jobs or len(gpus) or len(os.sched_getaffinity(0)))


def visible_gpus() -> list[str]:
    """Return the names of the GPUs as CUDA_VISIBLE_DEVICES has them, or their numbers where it is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    devices = [path for path in Path("/dev").glob("nvidia*") if _DEVICE.fullmatch(path.name)]
    return [str(number) for number in range(len(devices))]


def environment(slots: Slots, given: Sequence[str]) -> dict[str, str]:
    """Return the variables of a stage that has been given these GPUs."""
    if slots.gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(given)}
    return ONE_THREAD if slots.jobs > 1 else {}


def gpus_of(stage: str, available: int) -> int:
    """Return how many GPUs a stage uses at the same time; 0: it uses none.

    Args:
        stage: the name with its ids, such as `generate@qwen3_8b`.
        available: the GPUs of this machine; a training under accelerate gets them all.

    Raises:
        ParamsError: a parameter file has a fault.
        SlotsError: the stage needs more than there are.
    """
    name, _, ids = stage.partition("@")
    needed = 0
    match name:
        case "generate":
            needed = max(_of_teacher(load_teacher(ids)), _of_judge())
        case "queries" | "judge_audit" | "verify":
            needed = _of_judge()
        case "perplexity":
            needed = 1
        case "sft" | "sft_shuffled":
            runtime = _student_of(ids)
            needed = available if runtime.accelerate_config else 1
        case "benchmark" | "benchmark_untrained":
            needed = _student_of(ids).tensor_parallel_size
    if needed > available:
        raise SlotsError(
            f"{stage} needs {needed} GPUs and {available} can be used here; lower tensor_parallel_size and "
            "pipeline_parallel_size in conf/runtime.yaml, or run it on another host"
        )
    return needed


def _of_teacher(teacher: TeacherFile) -> int:
    if teacher.teacher.engine != "vllm":
        return 0
    return teacher.runtime.tensor_parallel_size * teacher.runtime.pipeline_parallel_size


def _of_judge() -> int:
    judge = load_run().verify.judge.model
    try:
        return _of_teacher(load_teacher(judge))
    except ParamsError:
        return 0  # no judge is configured; a stage that asks one says so


def _student_of(ids: str) -> StudentRuntime:
    """Return the settings of the student that the ids of a stage name, which DVC joins with hyphens."""
    known = load_run().student_ids
    return load_student(next(one for one in ids.split("-") if one in known)).runtime
