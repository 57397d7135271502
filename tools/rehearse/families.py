"""Model families, as far as a rehearsal needs them: architecture, added tokens, a chat template, and how answers look.

The templates are ours: each opens and closes turns with the family's own tokens, and is no copy of the published one.
How answers look is from the model cards.
"""

import re
from typing import NamedTuple

from stillhouse.errors import StillhouseError

THINK_TAGS = "<think>\n{think}\n</think>\n\n{answer}"
OPEN_THINK = "{think}\n</think>\n\n{answer}"
ANSWER_TAGS = "<think>{think}</think>\n<answer>{answer}</answer>"
PLAIN = "{answer}"

CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking -%}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}
{%- endif -%}
"""
DEEPSEEK = """\
{{- '<｜begin▁of▁sentence｜>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{ '<｜User｜>' + message['content'] }}
{%- elif message['role'] == 'assistant' -%}{{ '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}
{%- else -%}{{ message['content'] }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\\n' }}{%- endif -%}
"""
LLAMA_3 = """\
{{- '<|begin_of_text|>' -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}
"""


class Vocabulary(NamedTuple):
    """The control tokens of a family, the one that ends a turn, and a chat template that uses them."""

    control_tokens: tuple[str, ...]
    turn_end: str
    template: str


class Family(NamedTuple):
    """What a model's name says of it: its architecture (`model_type`), its vocabulary, and a completion of it."""

    architecture: str
    vocabulary: Vocabulary
    written: str


QWEN_TOKENS = Vocabulary(("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|im_end|>", CHATML)
DEEPSEEK_TOKENS = Vocabulary(
    ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    "<｜end▁of▁sentence｜>",
    DEEPSEEK,
)
LLAMA_3_TOKENS = Vocabulary(
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "<|eot_id|>",
    LLAMA_3,
)
XLM_TOKENS = Vocabulary(("<s>", "</s>", "<pad>"), "</s>", "")

# The first pattern that the name of a model matches, in lower case; those of one model come before those of a family.
FAMILIES: dict[str, Family] = {
    r"a-m-team/am-thinking": Family("qwen2", QWEN_TOKENS, ANSWER_TAGS),
    r"a-m-team/am-distill-qwen": Family("qwen2", QWEN_TOKENS, THINK_TAGS),
    r"open-thoughts/openthinker.*-(7b|32b)": Family("qwen2", QWEN_TOKENS, THINK_TAGS),
    r"deepseek-ai/deepseek-r1-0528-qwen3": Family("qwen3", QWEN_TOKENS, THINK_TAGS),
    r"deepseek-ai/deepseek-r1-distill-qwen": Family("qwen2", DEEPSEEK_TOKENS, OPEN_THINK),
    r"deepseek-ai/deepseek-r1-distill-llama": Family("llama", DEEPSEEK_TOKENS, OPEN_THINK),
    r"deepseek-ai/deepseek-r1": Family("deepseek_v3", DEEPSEEK_TOKENS, OPEN_THINK),
    r"deepseek-ai/deepseek-v3": Family("deepseek_v3", DEEPSEEK_TOKENS, PLAIN),
    r"qwen/qwq": Family("qwen2", QWEN_TOKENS, OPEN_THINK),
    r"qwen/qwen3-.*-a\d+b": Family("qwen3_moe", QWEN_TOKENS, THINK_TAGS),
    r"qwen/qwen3-": Family("qwen3", QWEN_TOKENS, THINK_TAGS),
    r"qwen/qwen2": Family("qwen2", QWEN_TOKENS, PLAIN),
    r".*llama-3": Family("llama", LLAMA_3_TOKENS, PLAIN),
    r"baai/bge-m3": Family("xlm-roberta", XLM_TOKENS, PLAIN),
}


class UnknownFamilyError(StillhouseError):
    """No family of the table has this model."""


def family_of(model: str) -> Family:
    """Return the family of a model by its name on the Hub.

    Raises:
        UnknownFamilyError: the table has none.
    """
    for pattern, family in FAMILIES.items():
        if re.match(pattern, model.lower()):
            return family
    raise UnknownFamilyError(
        f"{model}: its architecture is not known here; add its name to FAMILIES in tools/rehearse/families.py"
    )
