"""Completes requests with an engine, and reads and stores the answers in the journal."""

import hashlib
import json
import struct
from functools import cached_property
from typing import Any

import msgspec

from stillhouse.journal.journal import Journal, JournalError
from stillhouse.models.engine import Completion, Engine, Purpose, Request

_decode = msgspec.json.Decoder(Completion).decode


def fingerprint_hash(fingerprint: dict[str, Any]) -> str:
    """Return the short hash (16 hex digits) of an engine fingerprint, which is stored in each row."""
    return _fingerprint_sha256(fingerprint).hexdigest()[:16]


class Model:
    """Completes requests from the journal if it has the answer, and from the engine otherwise.

    `hits` counts the answers from the journal, `asked` those from the engine. `prompt_tokens` and `completion_tokens`
    count the tokens of both.
    """

    def __init__(self, engine: Engine, journal: Journal, purpose: Purpose, name: str) -> None:
        self.engine = engine
        self.hits = 0
        self.asked = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._journal = journal
        self._purpose = purpose
        self._name = name

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The engine's fingerprint. It may download or convert weights, so it is computed at the first request."""
        return self.engine.fingerprint

    @cached_property
    def fingerprint_hash(self) -> str:
        """The short hash of the fingerprint."""
        return fingerprint_hash(self.fingerprint)

    @cached_property
    def _key_of_fingerprint(self) -> "hashlib._Hash":
        return _fingerprint_sha256(self.fingerprint)

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request; a new completion is stored in the journal before it is returned.

        If another task or process is already computing this request, the call waits for its result.

        Raises:
            EngineError: the engine failed permanently.
            JournalError: the answer could not be stored, or the stored answer is not a completion.
        """
        completion = await self._complete(request)
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        return completion

    async def _complete(self, request: Request) -> Completion:
        if not self.engine.journaled:
            self.asked += 1
            return await self.engine.complete(request)
        key = self._key(request)
        kept = self._journal.get(key)
        if kept is None:
            async with self._journal.claim(key, purpose=self._purpose, model=self._name):
                kept = self._journal.get(key)
                if kept is None:
                    self.asked += 1
                    completion = await self.engine.complete(request)
                    await self._journal.put(
                        key,
                        msgspec.json.encode(completion),
                        purpose=self._purpose,
                        model=self._name,
                    )
                    return completion
        self.hits += 1
        try:
            return _decode(kept)
        except msgspec.MsgspecError as error:
            raise JournalError(
                f"{self._journal.folder}: the answer {key.hex()} of {self._purpose} {self._name} is not a completion: "
                f"{error}; was it imported from another version?"
            ) from None

    def _key(self, request: Request) -> bytes:
        # The fingerprint is by far the longest part, so it is hashed only once. Its JSON has no zero byte and each
        # number has eight bytes, so that two different requests never give the same bytes.
        key = self._key_of_fingerprint.copy()
        key.update(struct.pack(">xQQ", request.seed, request.max_tokens or 0))
        key.update(self.engine.render(request).encode("utf-8", "surrogatepass"))
        return key.digest()


def _fingerprint_sha256(fingerprint: dict[str, Any]) -> "hashlib._Hash":
    canonical = json.dumps(fingerprint, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode())
