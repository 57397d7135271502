"""A tokenizer for checking a chat template where the student's own is not on this machine.

It knows the bytes, and each control token that the template writes. A template that passes with it has the right shape.
Only the student's tokenizer shows whether these tokens exist there.
"""

import re
from typing import Any

# The forms of control tokens of the families: <|im_end|>, <｜User｜>, <start_of_turn>, </s>, [/INST].
_CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>'\"\s]+[|｜]>|<(?:start|end)_of_\w+>|</?s>|\[/?[A-Z_]{3,}\]"
)


def stand_in_tokenizer(template: str) -> Any:
    """Return a transformers tokenizer of bytes and of the control tokens in the text of a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    control = sorted(set(_CONTROL_TOKEN.findall(template)) | {"<bos>", "<eos>"})
    symbols = [*control, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=[token for token in control if token not in ("<bos>", "<eos>")],
    )
    tokenizer.chat_template = template
    return tokenizer
