"""Small tokenizers of the kinds that students have: trained here, with the added tokens and the templates of a family.

The vocabularies are small; what is like the family's are normaliser, pre-tokeniser, which tokens are added, which of
them are special, and how the template uses them.
"""

from functools import cache
from typing import Any, NamedTuple

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tests.sft.student_examples import TEMPLATE

WORDS = [
    "What is the answer? The answer is 4, so 2 + 2 = 4.\n\n  return x <b> im_end user think"
] * 8
# The pre-tokenizer of GPT-4, Llama 3 (digits by three) and Qwen (digits one by one).
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


class Family(NamedTuple):
    """A kind of tokenizer: special tokens, other added tokens, the stop token, and the chat template."""

    special: list[str]
    added: list[str]
    stop: str
    template: str


def _turns(head: str, answer: str, stop: str, opened: str, start: str = "") -> str:
    """Return a template: `head` before each turn's content, `answer` an assistant's content, `stop` after each."""
    return (
        f"{start}{{% for message in messages %}}{head}{{% if message['role'] == 'assistant' %}}"
        f"{{% generation %}}{answer}{stop}{{% endgeneration %}}{{% else %}}{{{{ message['content'] }}}}{stop}"
        f"{{% endif %}}{{{{ '\\n' }}}}{{% endfor %}}{{% if add_generation_prompt %}}{opened}{{% endif %}}"
    )


CONTENT = "{{ message['content'] }}"
CHATML = _turns(
    "<|im_start|>{{ message['role'] }}{{ '\\n' }}",
    CONTENT,
    "<|im_end|>",
    "<|im_start|>assistant{{ '\\n' }}",
)
LLAMA3_HEAD = "<|start_header_id|>{role}<|end_header_id|>{{{{ '\\n\\n' }}}}"
FAMILIES = {
    "smollm2": Family(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], [], "<|im_end|>", TEMPLATE.read_text()
    ),
    "qwen3": Family(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        ["<think>", "</think>", "<tool_call>", "</tool_call>"],
        "<|im_end|>",
        CHATML,
    ),
    "special_marks": Family(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"],
        [],
        "<|im_end|>",
        CHATML,
    ),
    "llama3": Family(
        ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
        [],
        "<|eot_id|>",
        _turns(
            LLAMA3_HEAD.format(role="{{ message['role'] }}"),
            "{{ message['content'] | trim }}",
            "<|eot_id|>",
            LLAMA3_HEAD.format(role="assistant"),
            start="<|begin_of_text|>",
        ),
    ),
    "deepseek": Family(
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"],
        ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
        "<｜end▁of▁sentence｜>",
        _turns(
            "{% if message['role'] == 'assistant' %}<｜Assistant｜>{% else %}<｜User｜>{% endif %}",
            CONTENT,
            "<｜end▁of▁sentence｜>",
            "<｜Assistant｜>",
            start="<｜begin▁of▁sentence｜>",
        ),
    ),
    "gemma": Family(
        ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
        [],
        "<end_of_turn>",
        _turns(
            "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else 'user' }}{{ '\\n' }}",
            CONTENT,
            "<end_of_turn>",
            "<start_of_turn>model{{ '\\n' }}",
            start="<bos>",
        ),
    ),
}


@cache
def tokenizer_of(name: str) -> Any:
    """Return the tokenizer of a family, with its template."""
    family = FAMILIES[name]
    core = Tokenizer(models.BPE(byte_fallback=name == "gemma"))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name == "smollm2")
    core.decoder = decoders.ByteLevel()
    if name == "smollm2":
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), levels]
        )
    elif name == "gemma":
        core.normalizer = normalizers.Replace(" ", "▁")
        core.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        alphabet = []
    else:
        core.normalizer = normalizers.NFC() if name == "qwen3" else None
        pattern = SPLIT % ("{1,3}" if name == "llama3" else "")
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), "isolated"), levels]
        )
    in_vocabulary = [f"<0x{byte:02X}>" for byte in range(256)] if name == "gemma" else []
    trainer = trainers.BpeTrainer(
        vocab_size=400 + len(in_vocabulary),
        special_tokens=in_vocabulary,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    core.train_from_iterator(WORDS, trainer)
    if in_vocabulary:
        core = _without_added(core)
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in family.special])
    core.add_tokens([AddedToken(t, special=False, normalized=False) for t in family.added])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=family.special[1], clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = family.template
    return tokenizer


def _without_added(core: Tokenizer) -> Tokenizer:
    """Return a tokenizer whose byte tokens are ordinary pieces, as SentencePiece has them."""
    import json

    content = json.loads(core.to_str())
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))
