"""Rendering a conversation to the token ids that a model sees, without loading the model.

What a message says is data: a control token's name in it (`<|im_end|>`) is encoded as the text that it is, so that no
message can end its turn or open another. The control tokens of the template stay what they are.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.models.engine import EngineError
from stillhouse.models.weights import resolve
from stillhouse.records import Message

# Set into a control token's name where it stands in a message; no piece between two cuts holds a whole name. Unicode
# reserves this character for such use. The prompt with its cuts is part of the journal key.
CUT = "\ufdd0"
# Added tokens, but no control tokens: a teacher's own text and our system prompts have them, and they open no turn.
REASONING_MARKS = ("<think>", "</think>")


class ChatTokenizer:
    """The tokenizer of a model with its chat template, loaded on first use."""

    def __init__(self, model: str, revision: str, chat_template: str | None = None) -> None:
        """Name the tokenizer; `chat_template` is a file that replaces the model's own template."""
        self._model = model
        self._revision = revision
        self._template_file = chat_template

    @cached_property
    def tokenizer(self) -> Any:
        """The transformers tokenizer.

        Raises:
            EngineError: there is no chat template, or its file cannot be read.
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(resolve(self._model, self._revision))
        if self._template_file is not None:
            try:
                tokenizer.chat_template = Path(self._template_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise EngineError(f"chat_template {self._template_file}: {error}") from None
        if tokenizer.chat_template is None:
            raise EngineError(
                f"model {self._model}: its tokenizer has no chat template; name a file as `chat_template`"
            )
        return tokenizer

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Hashes of the tokenizer and of the chat template."""
        vocabulary = self.tokenizer.backend_tokenizer.to_str()
        return {
            "tokenizer_sha256": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "chat_template_sha256": hashlib.sha256(
                str(self.tokenizer.chat_template).encode()
            ).hexdigest(),
        }

    @cached_property
    def control_tokens(self) -> list[str]:
        """The names of the tokens that may end or open a turn.

        They are the special tokens, and what the template writes of the tokens that are added but not special
        (`<｜User｜>` of DeepSeek).
        """
        template = str(self.tokenizer.chat_template)
        return [
            token.content
            for token in self.tokenizer.added_tokens_decoder.values()
            if len(token.content) > 1
            and token.content not in REASONING_MARKS
            and (token.special or (token.content[0] in "<[" and token.content in template))
        ]

    @cached_property
    def _control_name(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.control_tokens)) or "(?!)")

    @cached_property
    def _control_start(self) -> re.Pattern[str]:
        # Names may overlap, so every place where one begins is found.
        return re.compile(rf"(?={self._control_name.pattern}).", re.DOTALL)

    def as_data(self, text: str) -> str:
        """Return a text whose control tokens `encode` takes for ordinary text; any other text is returned as it is."""
        if self._control_name.search(text) is None:
            return text
        return self._control_start.sub(lambda found: found[0] + CUT, text)

    def render(
        self,
        messages: Sequence[Message],
        system_prompt: str | None = None,
        *,
        open_turn: bool = True,
    ) -> str:
        """Return the prompt text for `encode`.

        Args:
            messages: the conversation, taken as data.
            system_prompt: a first turn of our own; its control tokens are encoded as such.
            open_turn: whether the assistant's turn is opened at the end.
        """
        turns = [{"role": m.role, "content": self.as_data(m.content)} for m in messages]
        if system_prompt is not None:
            turns = [{"role": "system", "content": system_prompt}, *turns]
        prompt: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=open_turn
        )
        return prompt

    def encode(self, text: str) -> list[int]:
        """Return the token ids of text from `render` or `as_data`; no special token is added."""
        return [
            token
            for piece in text.split(CUT)
            for token in self.tokenizer.encode(piece, add_special_tokens=False)
        ]
