"""What TRL, transformers and peft are given for a recipe, and what of it they do not know."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from stillhouse.params.recipe import LOADED_BY_STILLHOUSE, SET_BY_STILLHOUSE, Lora, Recipe
from stillhouse.params.student import StudentRuntime
from stillhouse.sft.gates import StudentError

DVCLIVE = "dvclive"
# Of from_pretrained; any key of the model's configuration may be given too.
_LOADING = ("attn_implementation", "use_kernels")
# What the libraries raise for a value that they do not take: of a wrong kind, or one that needs a missing package.
_REFUSALS = (ValueError, TypeError, ImportError, RuntimeError)


def check_recipe(recipe: Recipe, base: Path | None) -> None:
    """Check that TRL and transformers know the keys of `sft_config` and `model_kwargs`.

    Args:
        recipe: the recipe.
        base: folder of the base model; None where it is not here, and keys of its configuration cannot be checked.

    Raises:
        StudentError: they do not; the message has the valid keys.
    """
    if recipe.sft_config:
        from trl import SFTConfig

        known = {field.name for field in dataclasses.fields(SFTConfig) if field.init}
        _refuse_unknown("recipe.sft_config", recipe.sft_config, known - SET_BY_STILLHOUSE.keys())
    if recipe.model_kwargs and base is not None:
        from transformers import AutoConfig

        configured = AutoConfig.from_pretrained(base).to_dict().keys()
        known = {*_LOADING, *configured} - LOADED_BY_STILLHOUSE.keys()
        _refuse_unknown("recipe.model_kwargs", recipe.model_kwargs, known)


def training_arguments(
    recipe: Recipe, runtime: StudentRuntime, accumulation: int, seed: int, scratch: Path
) -> Any:
    """Return TRL's SFTConfig of a training.

    Args:
        recipe: what decides the result.
        runtime: where and how fast.
        accumulation: batches per device and optimizer step.
        seed: of the sampler.
        scratch: folder of the checkpoints.

    Raises:
        StudentError: TRL refuses a value of `recipe.sft_config` or of `report_to`.
    """
    import torch
    from trl import SFTConfig

    ours = {
        "output_dir": str(scratch),
        "seed": seed,
        "full_determinism": True,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": recipe.warmup_ratio,  # below 1 it is a share of all steps
        "weight_decay": recipe.weight_decay,
        "num_train_epochs": recipe.num_train_epochs,
        "max_steps": recipe.max_steps or -1,
        "per_device_train_batch_size": runtime.per_device_train_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": runtime.gradient_checkpointing,
        "max_length": recipe.max_length,
        "packing": recipe.packing,
        "bf16": recipe.dtype == "bfloat16",
        "use_cpu": not torch.accelerator.is_available(),  # else bfloat16 is refused on a CPU
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is not a number must be seen
        "save_strategy": "steps",
        "save_steps": runtime.save_steps,
        "save_total_limit": 1,
        "report_to": [name for name in runtime.report_to if name != DVCLIVE] or "none",
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": not sys.stderr.isatty(),
    }
    try:
        return SFTConfig(**{**ours, **recipe.sft_config})
    except _REFUSALS as error:
        raise StudentError(
            f"TRL refuses recipe.sft_config {recipe.sft_config} or what conf/runtime.yaml has for the student: {error}"
        ) from None


def load_model(base: Path, recipe: Recipe) -> Any:
    """Return the model to train.

    Trained weights stay float32 under bfloat16 autocast: at usual learning rates, updates to bfloat16 weights are lost.
    Under LoRA the weights of the base model are not trained, and have the recipe's type.

    Raises:
        StudentError: transformers refuses a value of `recipe.model_kwargs`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if recipe.lora is None else getattr(torch, recipe.dtype)
    try:
        return AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **recipe.model_kwargs)
    except _REFUSALS as error:
        if not recipe.model_kwargs:
            raise
        raise StudentError(
            f"the model cannot be loaded with recipe.model_kwargs {recipe.model_kwargs}: {error}"
        ) from None


def lora_config(lora: Lora | None) -> Any:
    """Return peft's LoraConfig, or None where all weights are trained.

    Raises:
        StudentError: peft is not installed.
    """
    if lora is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError:
        raise StudentError(
            "recipe.lora needs the package peft, which is not installed here: run `make env`"
        ) from None
    return LoraConfig(task_type="CAUSAL_LM", **lora.model_dump())


def dvclive_callback(out: Path, step: int) -> Any:
    """Return the callback that follows the training of the model in `out` with DVCLive, from a step on.

    That of transformers would write DVCLive's files into the project's dvc.yaml. They are in .stillhouse, which git and
    DVC ignore; DVC Studio shows them where its token is set.

    Raises:
        StudentError: DVCLive is not installed, or cannot start.
    """
    folder = Path(".stillhouse/dvclive") / out.relative_to(out.anchor)
    try:
        from dvclive import Live
        from transformers.integrations import DVCLiveCallback

        live = Live(str(folder), resume=step > 0, dvcyaml=None, save_dvc_exp=False)
        live.step = step
    except Exception as error:  # of git, DVC or DVCLive, which share no class
        raise StudentError(
            f"conf/runtime.yaml: report_to: DVCLive cannot start: {error}; take it out, or run `make env`"
        ) from None
    return DVCLiveCallback(live=live)


def _refuse_unknown(key: str, given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise StudentError(
            f"{key}: {', '.join(unknown)}: no such argument; valid are: {', '.join(sorted(known))}"
        )
