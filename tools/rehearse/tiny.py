"""Tiny models: the architecture and the control tokens of a family, with random weights.

A model that is random throughout ends no answer and writes no marks, and the format check would rightly end its run. So
two layers of a chat model are set, the embedding and the output layer: they hold a table of the tokens that may follow
each token. The model opens its reasoning with its family's mark, writes random letters, closes it, writes random digits
and ends its turn. The layers between are random.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from tools.rehearse.families import Family, Vocabulary

WIDTH = 512  # of the hidden state; no smaller than the vocabulary, since each token has a direction of its own
CONTEXT = 16_384  # tokens; one token is one byte, or a control token or mark
LETTERS = tuple("aeilnorst")
DIGITS = tuple("0123456789")
# What a judge always replies: the best mark of a free answer, not enough in science, and no reply to yes or no.
REPLY = "4"
# Logits: of a token that may follow, their standard deviation, and what the end of a part has more. At a temperature of
# 0.6 the reasoning has 8 letters in the mean, and the answer 1.5 digits.
FOLLOWS, SPREAD, END_OF_THINK, END_OF_ANSWER = 20.0, 0.5, 0.3, 2.0


class TemplateError(StillhouseError):
    """A chat template cannot render a conversation."""


State = tuple[str, ...]  # the tokens of one step of an answer, one of which is written


def write_chat_model(
    folder: Path, family: Family, seed: int, *, template: str | None = None, is_judge: bool = False
) -> None:
    """Write a model with tokenizer and chat template that vLLM and transformers load.

    Args:
        folder: Where it is written.
        family: Its architecture, control tokens, template and format.
        seed: The seed of its random weights.
        template: The chat template that it will be asked with; null: the family's.
        is_judge: Whether it replies `REPLY` instead of an answer in its family's format.

    Raises:
        TemplateError: the chat template does not render a question.
    """
    import torch
    from transformers import AutoModelForCausalLM

    states = [(REPLY,)] if is_judge else _states(family.written)
    vocabulary = family.vocabulary
    if template is not None:
        vocabulary = vocabulary._replace(template=template)
    tokenizer = _write_tokenizer(folder, vocabulary, _words(states))
    torch.manual_seed(seed)
    config = _config(family, tokenizer)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    last = _end_of_prompt(tokenizer)
    with torch.no_grad():
        scale = math.sqrt(WIDTH)  # what the last normalisation makes of the only large value
        model.get_input_embeddings().weight.copy_(scale * torch.eye(config.vocab_size, WIDTH))
        table = torch.zeros(config.vocab_size, WIDTH)
        for before, after in _follows(tokenizer, last, states, family.vocabulary.turn_end).items():
            for token, logit in after.items():
                table[token, before] = (logit + SPREAD * torch.randn(()).item()) / scale
        model.get_output_embeddings().weight.copy_(table)
    model.save_pretrained(folder)


def write_base_model(folder: Path, family: Family, seed: int) -> None:
    """Write a causal model that is random throughout, as the base of a student is before training."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = _write_tokenizer(folder, family.vocabulary)
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(
        _config(family, tokenizer), dtype=torch.float32
    ).save_pretrained(folder)


def write_reward_model(folder: Path, family: Family, seed: int, outputs: int) -> None:
    """Write a sequence classifier with as many outputs as the run has attributes."""
    import torch
    from transformers import AutoModelForSequenceClassification

    tokenizer = _write_tokenizer(folder, family.vocabulary)
    torch.manual_seed(seed)
    config = _config(family, tokenizer, num_labels=outputs)
    AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).save_pretrained(
        folder
    )


def write_encoder(folder: Path, family: Family, seed: int) -> None:
    """Write an encoder for embeddings."""
    import torch
    from transformers import AutoModel

    tokenizer = _write_tokenizer(folder, family.vocabulary)
    torch.manual_seed(seed)
    AutoModel.from_config(_config(family, tokenizer), dtype=torch.float32).save_pretrained(folder)


def _end_of_prompt(tokenizer: Any) -> int:
    """Return the id of the last token of a prompt."""
    # What a template raises depends on what is wrong in it, hence the width.
    try:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:
        raise TemplateError(
            f"its chat template does not render a question: {type(error).__name__}: {error}"
        ) from None
    last: int = tokenizer.encode(prompt, add_special_tokens=False)[-1]
    return last


def _states(written: str) -> list[State]:
    """Return the steps of a completion: the marks in their order, and letters and digits where its two parts are."""
    parts = {"{think}": LETTERS, "{answer}": DIGITS}
    return [parts.get(piece, (piece,)) for piece in re.findall(r"\{\w+\}|<[^<>]+>", written)]


def _words(states: Sequence[State]) -> list[str]:
    return [token for state in states for token in state if len(token) > 1]


def _follows(
    tokenizer: Any, last: int, states: Sequence[State], turn_end: str
) -> dict[int, dict[int, float]]:
    """Return the logits of the tokens that may follow a token, by the ids of both."""
    following = [*states, (turn_end,)]
    found = {last: _logits(tokenizer, following[0])}
    for state, after in zip(states, following[1:], strict=True):
        extra = {LETTERS: END_OF_THINK, DIGITS: END_OF_ANSWER}.get(state, 0.0)
        logits = _logits(tokenizer, after, extra)
        if state in (LETTERS, DIGITS):
            logits |= _logits(tokenizer, state)
        found |= {tokenizer.convert_tokens_to_ids(token): logits for token in state}
    return found


def _logits(tokenizer: Any, state: State, extra: float = 0.0) -> dict[int, float]:
    return {tokenizer.convert_tokens_to_ids(token): FOLLOWS + extra for token in state}


def _write_tokenizer(folder: Path, vocabulary: Vocabulary, words: Sequence[str] = ()) -> Any:
    """Write a tokenizer of bytes, control tokens and `words`, with the family's chat template, and return it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(name, special=True) for name in vocabulary.control_tokens]
    )
    # Marks are no special tokens in the families of the table, so that a server leaves them in the text.
    backend.add_tokens([AddedToken(word, special=False, normalized=False) for word in words])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=vocabulary.turn_end,
        pad_token=vocabulary.control_tokens[0],
        model_max_length=CONTEXT,
    )
    if vocabulary.template:
        tokenizer.chat_template = vocabulary.template
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _config(family: Family, tokenizer: Any, **more: Any) -> Any:
    from transformers import AutoConfig

    sizes: dict[str, Any] = {
        "vocab_size": WIDTH,
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": WIDTH // 8,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    own: dict[str, dict[str, Any]] = {
        "qwen3_moe": {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128},
        # One dense layer and one of experts, in groups, as the large model has.
        "deepseek_v3": {
            "num_key_value_heads": 8,
            "moe_intermediate_size": 128,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 128,
            "kv_lora_rank": 512,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 64,
            "v_head_dim": 64,
            "num_nextn_predict_layers": 0,
            # vLLM reads these two of the published file; transformers knows no other way.
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
        },
        "xlm-roberta": {"type_vocab_size": 1},
    }
    if family.architecture == "deepseek_v3":
        del sizes["head_dim"]
    return AutoConfig.for_model(
        family.architecture, **(sizes | own.get(family.architecture, {}) | more)
    )
