"""The engines of the models of one student family: the trained students, and the base model without training."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stillhouse import layout
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.models.key_names import student_name
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.models.weights import resolve
from stillhouse.params.benchmark import BenchmarkSampling
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.params.teacher import Sampling
from stillhouse.sft.gates import set_template


def trained_engines(
    conditions: Sequence[Condition],
    student: Student,
    sampling: BenchmarkSampling,
    runtime: StudentRuntime,
) -> dict[Condition, VllmEngine]:
    """Return the engines of the trained students of one family, which share one core: one at a time is loaded.

    Args:
        conditions: the trained students.
        student: the family.
        sampling: how they answer.
        runtime: where and how fast they answer.
    """
    loads = {}
    for condition in conditions:
        folder = layout.student_model(condition.student, condition.teacher, condition.seed)
        loads[condition] = Load(f"path:{folder}", weights_hash(folder), student.recipe.dtype, None)
    core = VllmCore(loads[conditions[0]], runtime)
    return {
        condition: VllmEngine(
            core,
            _sampling(sampling),
            system_prompt=sampling.system_prompt,
            concurrency=runtime.max_num_seqs,
            load=load,
            name_in_keys=student_name(condition.teacher, condition.student),
        )
        for condition, load in loads.items()
    }


def untrained_engine(
    student_id: str, student: Student, sampling: BenchmarkSampling, runtime: StudentRuntime
) -> dict[Condition, VllmEngine]:
    """Return the engine of a base model, which is asked with the template and the stop token of its students.

    Without that token, which many base models do not end at by themselves, the untrained student would go on to write
    the next turns.

    Args:
        student_id: the id of the student family.
        student: the family.
        sampling: how it answers.
        runtime: where and how fast it answers.
    """
    from transformers import AutoTokenizer

    folder = resolve(student.model, student.revision)
    load = Load(f"path:{folder}", weights_hash(folder), student.recipe.dtype, None)
    engine = VllmEngine(
        VllmCore(load, runtime),
        _sampling(sampling),
        system_prompt=sampling.system_prompt,
        concurrency=runtime.max_num_seqs,
        name_in_keys=student_name(UNTRAINED, student_id),
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turn = set_template(
        tokenizer, student.chat_template, allow_header_in_marks=student.allow_header_in_marks
    )
    engine.chat.tokenizer = tokenizer
    engine.sampling["stop_token_ids"] = [turn.stop_id]
    return {Condition(UNTRAINED, student_id, 0): engine}


def weights_hash(folder: Path) -> str:
    """Return the hash of the weights in a folder, which is their revision: names and places may repeat."""
    weights = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            weights.update(hashlib.file_digest(file, "sha256").digest())
    return weights.hexdigest()


def _sampling(sampling: BenchmarkSampling) -> Sampling:
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
    )
