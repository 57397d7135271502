"""Supervised fine-tuning of one student on one teacher's traces, with TRL.

The same code runs on a CPU and on many GPUs. Equal examples, recipe and seed give equal weights on equal hardware:
the rows come in id order, the sampler is seeded and torch is told to be deterministic. Checkpoints are outside the
stage's outs (DVC wipes those before a run) under a key made of all that decides the result, so that a run which was
cut off goes on, and never from another run's state.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stillhouse.hashing import content_hash, file_sha256
from stillhouse.models.weights import resolve
from stillhouse.params.student import Recipe, Student, StudentRuntime
from stillhouse.progress import quiet_libraries
from stillhouse.records import Example
from stillhouse.sft.chosen import BUDGET, chosen_examples, read_budget
from stillhouse.sft.encoding import Counts, Encoder, load_encoder, write_encoded
from stillhouse.sft.gates import StudentError
from stillhouse.tables.read import shard_paths

SCRATCH_VARIABLE = "STILLHOUSE_SCRATCH"
# Writing a checkpoint costs as much as many steps of a small run; only the newest is kept.
CHECKPOINT_STEPS = 50


class Training(NamedTuple):
    """What came out: metrics ready for JSON (no times in it), and the loss of each optimizer step from 1 on."""

    metrics: dict[str, Any]
    curve: list[tuple[int, float]]


def launch_command(runtime: StudentRuntime) -> list[str] | None:
    """Return the command that starts this script again under accelerate, or None where it runs as it is.

    It runs as it is where no `accelerate_config` is set, and in the processes that accelerate started.
    """
    if runtime.accelerate_config is None or "LOCAL_RANK" in os.environ:
        return None
    if not Path(runtime.accelerate_config).is_file():
        raise StudentError(
            f"conf/runtime.yaml: accelerate_config: no file {runtime.accelerate_config}; write it with "
            "`accelerate config` or set it to null"
        )
    launcher = ["-m", "accelerate.commands.launch", "--config_file", runtime.accelerate_config]
    return [sys.executable, *launcher, *sys.argv]


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
        StudentError: the template or an example fails a gate, an example is longer than `max_length`, or the global
            batch cannot be made of the batches per device.
        TableError: a table is missing or corrupt.
    """
    quiet_libraries()
    accumulation = _accumulation(student.recipe, runtime)
    encoder = load_encoder(student.text)
    budget = read_budget(ids)
    scratch = _scratch(examples, ids, student, seed)
    rows = chosen_examples(examples, ids)
    trainer, counts = _trainer(
        encoder, rows, student, budget.max_steps, runtime, accumulation, seed, scratch, shuffled
    )
    trainer.train(resume_from_checkpoint=_last_checkpoint(scratch))
    curve = [(e["step"], e["loss"]) for e in trainer.state.log_history if "loss" in e]
    _save(trainer, student.recipe, out)
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


def _scratch(examples: Path, ids: Path, student: Student, seed: int) -> Path:
    """Return the folder of checkpoints of exactly this training."""
    files = [*shard_paths(examples), *shard_paths(ids), ids / BUDGET, Path(student.chat_template)]
    decided_by = [*map(file_sha256, files), student.model_dump_json(), str(seed)]
    root = Path(os.environ.get(SCRATCH_VARIABLE, ".stillhouse/scratch"))
    return root / "sft" / content_hash(*decided_by)


def _last_checkpoint(scratch: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    newest: str | None = get_last_checkpoint(str(scratch))
    return newest


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
    import torch
    from accelerate import PartialState
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

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
    arguments = SFTConfig(
        output_dir=str(scratch),
        seed=seed,
        full_determinism=True,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=recipe.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=recipe.weight_decay,
        num_train_epochs=recipe.num_train_epochs,
        max_steps=max_steps or recipe.max_steps or -1,
        per_device_train_batch_size=runtime.per_device_train_batch_size,
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=runtime.gradient_checkpointing,
        max_length=recipe.max_length,
        packing=recipe.packing,
        bf16=recipe.dtype == "bfloat16",
        eos_token=encoder.turn.stop_token,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not a number must be seen
        save_strategy="steps",
        save_steps=CHECKPOINT_STEPS,
        save_total_limit=1,
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=not sys.stderr.isatty(),
    )
    # The weights stay float32 under bfloat16 autocast: at these learning rates, updates to bfloat16 weights are lost.
    base = resolve(student.model, student.revision)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    dataset = Dataset.from_file(str(encoded))
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        processing_class=encoder.tokenizer,
        callbacks=[NoCheckpointAtTheEnd()],
    )
    return trainer, counts


def _save(trainer: Any, recipe: Recipe, out: Path) -> None:
    """Write the model in the recipe's type, without what the trainer adds for itself."""
    import torch
    from transformers import AutoModelForCausalLM

    trainer.save_model(str(out))
    if not trainer.is_world_process_zero():
        return
    # A pickle of local paths: neither wanted in a released model nor equal from run to run.
    (out / "training_args.bin").unlink(missing_ok=True)
    if recipe.dtype == "bfloat16":
        trained = AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16)
        for path in out.glob("model*.safetensors*"):
            path.unlink()
        trained.save_pretrained(out)
