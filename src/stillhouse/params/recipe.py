"""The recipe of a student's training, and what of TRL it may set."""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from stillhouse.params.base import Section, UnitInterval

_RUNTIME = "conf/runtime.yaml: students"
_LABELS = "nothing, stillhouse makes the token ids and labels itself"
_NO_EVAL = "nothing, no evaluation set is held out; stage `benchmark` scores the student"
_PUBLISH = "nothing, `stillhouse publish` puts students on the Hub"
# Arguments of SFTConfig that stillhouse sets itself, and what to set instead.
SET_BY_STILLHOUSE = {
    "bf16": "recipe.dtype",
    "fp16": "recipe.dtype",
    "tf32": "recipe.dtype",
    "learning_rate": "recipe.learning_rate",
    "lr_scheduler_type": "recipe.lr_scheduler_type",
    "max_length": "recipe.max_length",
    "max_steps": "recipe.max_steps",
    "model_init_kwargs": "recipe.model_kwargs",
    "num_train_epochs": "recipe.num_train_epochs",
    "packing": "recipe.packing",
    "packing_strategy": "recipe.packing (rows stay whole and do not see each other)",
    "padding_free": "recipe.packing",
    "warmup_ratio": "recipe.warmup_ratio",
    "warmup_steps": "recipe.warmup_ratio",
    "weight_decay": "recipe.weight_decay",
    "gradient_accumulation_steps": "recipe.global_batch_size",
    "chat_template_path": "student.chat_template",
    "eos_token": "student.chat_template",
    "pad_token": "student.model (its tokenizer has the padding token)",
    "data_seed": "the seed of the run",
    "seed": "the seed of the run",
    "full_determinism": "nothing, training is always deterministic",
    "use_cpu": "nothing, an accelerator is used where there is one",
    "auto_find_batch_size": f"{_RUNTIME}: per_device_train_batch_size",
    "per_device_train_batch_size": f"{_RUNTIME}: per_device_train_batch_size",
    "gradient_checkpointing": f"{_RUNTIME}: gradient_checkpointing",
    "fsdp": f"{_RUNTIME}: accelerate_config",
    "fsdp_config": f"{_RUNTIME}: accelerate_config",
    "deepspeed": f"{_RUNTIME}: accelerate_config",
    "accelerator_config": f"{_RUNTIME}: accelerate_config",
    "parallelism_config": f"{_RUNTIME}: accelerate_config",
    "report_to": f"{_RUNTIME}: report_to",
    "logging_steps": "nothing, the loss of each step is an output",
    "logging_strategy": "nothing, the loss of each step is an output",
    "save_steps": f"{_RUNTIME}: save_steps",
    "save_strategy": f"{_RUNTIME}: save_steps",
    "save_total_limit": "nothing, the newest checkpoint is kept until the training ends",
    "save_only_model": "nothing, a cut-off training goes on from the whole state",
    "resume_from_checkpoint": "nothing, a cut-off training goes on by itself",
    "output_dir": "nothing, the folder of the student follows from its ids",
    "trust_remote_code": "nothing, code of a model's repository is not run",
    "assistant_only_loss": _LABELS,
    "completion_only_loss": _LABELS,
    "dataset_text_field": _LABELS,
    "dataset_kwargs": _LABELS,
    "truncation_mode": _LABELS,
    "remove_unused_columns": _LABELS,
    "do_eval": _NO_EVAL,
    "eval_packing": _NO_EVAL,
    "eval_steps": _NO_EVAL,
    "eval_strategy": _NO_EVAL,
    "load_best_model_at_end": _NO_EVAL,
    "push_to_hub": _PUBLISH,
    "hub_model_id": _PUBLISH,
    "hub_token": _PUBLISH,
}
# Arguments of from_pretrained likewise.
LOADED_BY_STILLHOUSE = {
    "dtype": "recipe.dtype",
    "torch_dtype": "recipe.dtype",
    "revision": "student.revision",
    "device_map": f"{_RUNTIME}: accelerate_config",
    "trust_remote_code": "nothing, code of a model's repository is not run",
    "quantization_config": "nothing, students are released with whole weights",
}


class Lora(Section):
    """Low-rank adapters, with the names and meanings of peft (LoraConfig). The released weights are merged."""

    r: PositiveInt
    lora_alpha: PositiveFloat
    lora_dropout: UnitInterval = 0.0
    target_modules: list[str] | str = "all-linear"


class Recipe(Section):
    """Supervised fine-tuning, with the names of TRL (SFTConfig) where it has the parameter.

    `global_batch_size` is the number of sequences per optimizer step, over all devices. `sft_config` goes to SFTConfig
    and `model_kwargs` to `AutoModelForCausalLM.from_pretrained`, for what has no parameter here. The paper (section
    4.1) has learning rate 8e-5, cosine schedule, 5 % warm-up, batch size 64, 2 epochs, packed sequences of 32,768
    tokens.
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
    lora: Lora | None = None
    sft_config: dict[str, Any] = {}
    model_kwargs: dict[str, Any] = {}

    @field_validator("sft_config")
    @classmethod
    def _refuse_set_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _without(given, SET_BY_STILLHOUSE)

    @field_validator("model_kwargs")
    @classmethod
    def _refuse_loading_arguments(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _without(given, LOADED_BY_STILLHOUSE)


def _without(given: dict[str, Any], set_here: dict[str, str]) -> dict[str, Any]:
    refused = [f"{name}: {set_here[name]}" for name in given if name in set_here]
    if refused:
        raise ValueError(f"set by stillhouse; take it out and set instead: {'; '.join(refused)}")
    return given
