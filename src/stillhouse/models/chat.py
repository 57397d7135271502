"""Rendering a conversation to the prompt that a model sees, without loading the model."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.models.engine import EngineError
from stillhouse.models.weights import resolve
from stillhouse.records import Message


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

    def render(self, messages: list[Message], system_prompt: str | None = None) -> str:
        """Return the prompt text that opens the assistant's turn."""
        turns = [{"role": m.role, "content": m.content} for m in messages]
        if system_prompt is not None:
            turns = [{"role": "system", "content": system_prompt}, *turns]
        prompt: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return prompt

    def encode(self, text: str) -> list[int]:
        """Return the token ids of rendered text; no special token is added."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids
