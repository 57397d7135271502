"""Tokenizers and tiny random models of the families of students: their control tokens and architecture, few weights."""

from pathlib import Path
from typing import Any

_TEXTS = [
    "What is the answer? The answer is 4.\n\n",
    "<think>\nTwice two is four.\n</think>\n\nIt is 4.",
]
_CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Special tokens, added tokens that are not special, end token of the base model, TRL's template, architecture.
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2_5": {
        "special": _CHATML,
        "eos": "<|endoftext|>",
        "template": "qwen2_5",
        "model": "qwen2",
    },
    "qwen3": {
        "special": _CHATML,
        "added": ["<think>", "</think>"],
        "eos": "<|im_end|>",
        "template": "qwen3",
        "model": "qwen3",
    },
    "llama3": {
        "special": [
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ],
        "bos": "<|begin_of_text|>",
        "eos": "<|end_of_text|>",
        "template": "llama3",
        "model": "llama",
    },
    "smollm2": {"special": _CHATML, "eos": "<|im_end|>", "template": None, "model": "llama"},
    "gemma": {
        "special": ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
        "bos": "<bos>",
        "eos": "<eos>",
        "template": "gemma3",
        "model": "gemma3_text",
    },
}


def trl_templates() -> Path:
    """Return the folder of TRL's chat templates."""
    import trl

    return Path(trl.__file__).parent / "chat_templates"


def tokenizer_of(family: str) -> Any:
    """Return a tokenizer with the family's splitting, control tokens and own chat template (TRL's copy of it)."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    kind = FAMILIES[family]
    core = Tokenizer(models.BPE())
    if family == "gemma":
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        core.decoder = decoders.Metaspace(prepend_scheme="never", split=False)
        alphabet = [chr(code) for code in range(32, 127)] + ["\n", "▁"]
    else:
        split = pre_tokenizers.Split(Regex(_QWEN_SPLIT), "isolated")
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=kind["special"], initial_alphabet=alphabet
    )
    core.train_from_iterator(_TEXTS * 8, trainer)
    core.add_tokens([AddedToken(token, special=False) for token in kind.get("added", [])])
    if "bos" in kind:  # the real ones put it before every text
        begin = (kind["bos"], core.token_to_id(kind["bos"]))
        core.post_processor = processors.TemplateProcessing(
            single=f"{kind['bos']} $A", special_tokens=[begin]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=kind.get("bos"),
        eos_token=kind["eos"],
        pad_token=kind["special"][0],
        additional_special_tokens=kind["special"],
    )
    if kind["template"]:
        tokenizer.chat_template = (trl_templates() / f"{kind['template']}.jinja").read_text("utf-8")
    return tokenizer


def save_model(family: str, folder: Path, **changes: Any) -> Path:
    """Save a tiny random model and its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tokenizer_of(family)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    config = AutoConfig.for_model(FAMILIES[family]["model"], **{**shape, **changes})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
