"""Renders a conversation to the token ids of a model, without loading the model.

The content of a message is data. The name of a control token in it (`<|im_end|>`) is encoded as ordinary text, so that
no message can end its turn or open another one. Control tokens of the chat template are encoded as control tokens.
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

# Inserted into the name of a control token in a message, so that no piece between two cuts holds a whole name. Unicode
# reserves this character for internal use. The prompt with its cuts is part of the journal key.
CUT = "\ufdd0"
# Added tokens that are not control tokens: responses of teachers and system prompts contain them; they open no turn.
REASONING_MARKS = ("<think>", "</think>")


class ChatTokenizer:
    """The tokenizer and chat template of a model, loaded at first use."""

    def __init__(self, model: str, revision: str, chat_template: str | None = None) -> None:
        """Set the model whose tokenizer is loaded at first use.

        Args:
            model: The name of the model, as in `weights.resolve`.
            revision: Its revision.
            chat_template: A file that replaces the model's own chat template.
        """
        self._model = model
        self._revision = revision
        self._template_file = chat_template

    @classmethod
    def of(cls, tokenizer: Any) -> "ChatTokenizer":
        """Return one for a tokenizer that is loaded already and has its chat template."""
        chat = cls("", "")
        chat.tokenizer = tokenizer
        return chat

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
                f"model {self._model}: its tokenizer has no chat template; set `chat_template` to a file"
            )
        return tokenizer

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """The hashes of the tokenizer and of the chat template."""
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

        They are the special tokens, and those added tokens that are not special but occur in the chat template
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
        # Names may overlap, so every position at which a name begins is found.
        return re.compile(rf"(?={self._control_name.pattern}).", re.DOTALL)

    def as_data(self, text: str) -> str:
        """Return a text whose control tokens `encode` treats as ordinary text; any other text is returned unchanged."""
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
            messages: the conversation; its contents are data.
            system_prompt: a system message that is put first; its control tokens are encoded as control tokens.
            open_turn: whether the prompt ends with the start of an assistant turn.
        """
        turns = [{"role": m.role, "content": self.as_data(m.content)} for m in messages]
        if system_prompt is not None:
            turns = [{"role": "system", "content": system_prompt}, *turns]
        prompt: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=open_turn
        )
        return prompt

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text from `render` or `as_data`, without adding special tokens."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what `encode` returns for each of several texts, which are encoded together."""
        split = [text.split(CUT) for text in texts]
        pieces = [piece for pieces in split for piece in pieces]
        if not pieces:
            return []
        ids = iter(self.tokenizer(pieces, add_special_tokens=False)["input_ids"])
        return [[token for _ in pieces for token in next(ids)] for pieces in split]
