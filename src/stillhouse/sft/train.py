"""Supervised fine-tuning of one student on one teacher's traces, with TRL.

The same code runs on a CPU and on many GPUs. Equal examples, recipe and seed give equal weights on equal hardware:
the rows come in id order, the sampler is seeded and torch is told to be deterministic. Checkpoints are outside the
stage's outs (DVC wipes those before a run) under a key made of all that decides the result, so that a run which was
cut off goes on, and never from another run's state.
"""

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stillhouse.hashing import content_hash, file_sha256
from stillhouse.models.weights import resolve
from stillhouse.params.recipe import Recipe
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.progress import quiet_libraries
from stillhouse.records import Example
from stillhouse.sft.arguments import (
    DVCLIVE,
    check_recipe,
    dvclive_callback,
    load_model,
    lora_config,
    training_arguments,
)
from stillhouse.sft.chosen import BUDGET, chosen_examples, read_budget
from stillhouse.sft.encoding import Counts, Encoder, load_encoder, write_encoded
from stillhouse.sft.gates import StudentError
from stillhouse.tables.read import shard_paths

SCRATCH_VARIABLE = "STILLHOUSE_SCRATCH"
_PORT = 29500  # torch's usual one, where the processes of several machines meet
# transformers writes it last: a checkpoint without it was cut off, by a power cut or `kill -9`.
_LAST_OF_CHECKPOINT = "trainer_state.json"


class Training(NamedTuple):
    """What came out: metrics ready for JSON (no times in it), and the loss of each optimizer step from 1 on."""

    metrics: dict[str, Any]
    curve: list[tuple[int, float]]


def launch_command(runtime: StudentRuntime) -> list[str] | None:
    """Return the command that starts this script again under accelerate, or None where it runs as it is.

    It runs as it is where no `accelerate_config` is set, and in the processes that accelerate started. In a Slurm job
    with several machines, `srun` starts accelerate on each; the first one is the one that the job runs on.
    """
    if runtime.accelerate_config is None or "LOCAL_RANK" in os.environ:
        return None
    if not Path(runtime.accelerate_config).is_file():
        raise StudentError(
            f"conf/runtime.yaml: accelerate_config: no file {runtime.accelerate_config}; conf/accelerate has some, and "
            "`accelerate config` writes others; or set it to null"
        )
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    launcher += ["--config_file", runtime.accelerate_config]
    machines = int(os.environ.get("SLURM_NNODES", "1"))
    if machines == 1:
        return [*launcher, *sys.argv]
    try:
        gpus = int(os.environ["SLURM_GPUS_ON_NODE"])
    except (KeyError, ValueError):
        raise StudentError(
            "the Slurm job has several machines but not SLURM_GPUS_ON_NODE; ask for GPUs with --gpus-per-node"
        ) from None
    launcher += ["--num_machines", str(machines), "--num_processes", str(machines * gpus)]
    launcher += ["--main_process_ip", socket.gethostname(), "--main_process_port", str(_PORT)]
    on_each = f'{shlex.join(launcher)} --machine_rank "$SLURM_NODEID" {shlex.join(sys.argv)}'
    return ["srun", f"--ntasks={machines}", "--ntasks-per-node=1", "bash", "-c", f"exec {on_each}"]


def is_main_process() -> bool:
    """Return whether this process writes the outs (all do the training)."""
    return os.environ.get("RANK", "0") == "0"


def train(
    examples: Path,
    ids: Path,
    student: Student,
    runtime: StudentRuntime,
    seed: int,
    out: Path,
    *,
    shuffled: bool = False,
) -> Training:
    """Train a student and write safetensors, tokenizer, chat template and generation config.

    Args:
        examples: table of Example, the aligned set of one teacher.
        ids: which of its queries to train on, as stage `fit` writes them for this teacher and student.
        student: base model, chat template and recipe.
        runtime: batch per device and gradient checkpointing.
        seed: of the sampler.
        out: folder of the trained model.
        shuffled: whether the answers are permuted, so that examples may be too long, which are left out.

    Raises:
        StudentError: the template or an example fails a gate, an example is longer than `max_length`, the global
            batch cannot be made of the batches per device, or a library refuses a value of the recipe.
        TableError: a table is missing or corrupt.
    """
    quiet_libraries()
    accumulation = _accumulation(student.recipe, runtime)
    base = resolve(student.model, student.revision)
    encoder = load_encoder(student.text, allow_header_in_marks=student.allow_header_in_marks)
    check_recipe(student.recipe, base)
    budget = read_budget(ids)
    scratch = _scratch(examples, ids, student, encoder.tokenizer.chat_template, seed)
    rows = chosen_examples(examples, ids)
    trainer, counts = _trainer(
        encoder, rows, student, budget.max_steps, runtime, accumulation, seed, scratch, shuffled
    )
    checkpoint = _last_checkpoint(scratch)
    if DVCLIVE in runtime.report_to and trainer.is_world_process_zero():
        trainer.add_callback(dvclive_callback(out, 0 if checkpoint is None else _step(checkpoint)))
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    curve = [(e["step"], e["loss"]) for e in trainer.state.log_history if "loss" in e]
    _save(trainer, base, student.recipe, scratch, out)
    if trainer.is_world_process_zero():
        shutil.rmtree(scratch, ignore_errors=True)
    return Training(
        {
            "rows": counts.rows,
            "tokens": counts.tokens,
            "loss_tokens": counts.loss_tokens,
            "sequences": len(trainer.train_dataset),
            "steps": trainer.state.global_step,
            "epochs": round(trainer.state.epoch, 4),
            "first_loss": curve[0][1],
            "final_loss": curve[-1][1],
        },
        curve,
    )


def write_curve(path: Path, curve: list[tuple[int, float]]) -> None:
    """Write a loss curve as a CSV file with the columns step and loss (mean nats per token of the step)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["step,loss", *(f"{step},{loss:.6f}" for step, loss in curve)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _accumulation(recipe: Recipe, runtime: StudentRuntime) -> int:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    at_once = runtime.per_device_train_batch_size * processes
    if recipe.global_batch_size % at_once:
        raise StudentError(
            f"recipe.global_batch_size {recipe.global_batch_size} is not a multiple of per_device_train_batch_size "
            f"{runtime.per_device_train_batch_size} x {processes} processes; change per_device_train_batch_size"
        )
    return recipe.global_batch_size // at_once


def _scratch(examples: Path, ids: Path, student: Student, template: str, seed: int) -> Path:
    """Return the folder of checkpoints of exactly this training."""
    files = [*shard_paths(examples), *shard_paths(ids), ids / BUDGET]
    decided_by = [*map(file_sha256, files), student.model_dump_json(), template, str(seed)]
    root = Path(os.environ.get(SCRATCH_VARIABLE, ".stillhouse/scratch"))
    return root / "sft" / content_hash(*decided_by)


def _last_checkpoint(scratch: Path) -> Path | None:
    """Return the newest whole checkpoint."""
    return max(filter(_is_whole, scratch.glob("checkpoint-*")), key=_step, default=None)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    try:
        msgspec.json.decode((checkpoint / _LAST_OF_CHECKPOINT).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return True


def _trainer(
    encoder: Encoder,
    examples: Iterable[Example],
    student: Student,
    max_steps: int | None,
    runtime: StudentRuntime,
    accumulation: int,
    seed: int,
    scratch: Path,
    shuffled: bool,
) -> tuple[Any, Counts]:
    from accelerate import PartialState
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTTrainer

    class NoCheckpointAtTheEnd(TrainerCallback):  # type: ignore[misc]
        """transformers saves after the last step too, and a resume from there trains one step too many."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:
                control.should_save = False

    recipe = student.recipe
    encoded, counted = scratch / "examples.arrow", scratch / "counts.json"
    with PartialState().main_process_first():  # one process encodes, the others find the file
        if not counted.is_file():
            counts = write_encoded(
                encoded, examples, encoder, recipe.max_length, leave_out_long=shuffled
            )
            counted.write_bytes(msgspec.json.encode(counts))
    counts = msgspec.json.decode(counted.read_bytes(), type=Counts)
    if max_steps is not None:
        recipe = recipe.model_copy(update={"max_steps": max_steps})
    arguments = training_arguments(recipe, runtime, accumulation, seed, scratch)
    arguments.eos_token = encoder.turn.stop_token
    base = resolve(student.model, student.revision)
    with _refusals(recipe, runtime):
        trainer = SFTTrainer(
            model=load_model(base, recipe),
            args=arguments,
            train_dataset=Dataset.from_file(str(encoded)),
            processing_class=encoder.tokenizer,
            peft_config=lora_config(recipe.lora),
            callbacks=[NoCheckpointAtTheEnd()],
        )
    return trainer, counts


@contextmanager
def _refusals(recipe: Recipe, runtime: StudentRuntime) -> Iterator[None]:
    """Turn what the libraries raise for a value of the user into a StudentError."""
    try:
        yield
    except (ValueError, ImportError, RuntimeError) as error:
        of_user = {
            "recipe.lora": recipe.lora and recipe.lora.model_dump(),
            "recipe.sft_config": recipe.sft_config,
            "report_to": runtime.report_to,
        }
        given = ", ".join(f"{key} {value}" for key, value in of_user.items() if value)
        if not given or isinstance(error, StudentError):
            raise
        raise StudentError(f"the training cannot be set up with {given}: {error}") from None


def _save(trainer: Any, base: Path, recipe: Recipe, scratch: Path, out: Path) -> None:
    """Write the model in the recipe's type, without what the trainer adds for itself.

    The adapter of LoRA is merged into the base model's weights, so that every engine loads the folder as any model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    trained = out if recipe.lora is None else scratch / "adapter"
    trainer.save_model(str(trained))
    if not trainer.is_world_process_zero():
        return
    if recipe.lora is not None:
        from peft import PeftModel
        from transformers.trainer_utils import align_special_tokens

        model = load_model(base, recipe.model_copy(update={"dtype": "float32"}))
        merged = PeftModel.from_pretrained(model, str(trained)).merge_and_unload()
        align_special_tokens(merged, trainer.processing_class)  # as the trainer does it
        merged.to(getattr(torch, recipe.dtype)).save_pretrained(out)
        trainer.processing_class.save_pretrained(out)
        return
    # A pickle of local paths: neither wanted in a released model nor equal from run to run.
    (out / "training_args.bin").unlink(missing_ok=True)
    if recipe.dtype == "bfloat16":
        model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16)
        for path in out.glob("model*.safetensors*"):
            path.unlink()
        model.save_pretrained(out)
