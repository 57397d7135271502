"""A model as the rest of the pipeline sees it: an engine with the journal in front."""

import hashlib
import json
from typing import Any

import msgspec

from stillhouse.models.engine import Completion, Engine, Purpose, Request
from stillhouse.models.journal import Journal, journal_key

_decode = msgspec.json.Decoder(Completion).decode


def fingerprint_hash(fingerprint: dict[str, Any]) -> str:
    """Return the short hash of an engine fingerprint that each row carries (16 hex digits)."""
    canonical = json.dumps(fingerprint, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Model:
    """Completes requests: from the journal when it holds the answer, from the engine otherwise.

    `hits` counts answers found in the journal, `asked` those the engine was asked for.
    """

    def __init__(self, engine: Engine, journal: Journal, purpose: Purpose, name: str) -> None:
        self.engine = engine
        self.fingerprint = engine.fingerprint
        self.fingerprint_hash = fingerprint_hash(engine.fingerprint)
        self.hits = 0
        self.asked = 0
        self._journal = journal
        self._purpose = purpose
        self._name = name

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request; a new one is safe in the journal before it is returned.

        Raises:
            EngineError: the engine failed for good.
            JournalError: the answer could not be kept.
        """
        if not self.engine.journaled:
            self.asked += 1
            return await self.engine.complete(request)
        facts = {
            "fingerprint": self.fingerprint,
            "prompt": self.engine.render(request),
            "seed": request.seed,
        }
        if request.max_tokens is not None:
            facts["max_tokens"] = request.max_tokens
        key = journal_key(facts)
        kept = self._journal.get(key)
        if kept is not None:
            self.hits += 1
            return _decode(kept)
        self.asked += 1
        completion = await self.engine.complete(request)
        await self._journal.put(
            key, msgspec.json.encode(completion), purpose=self._purpose, model=self._name
        )
        # The same request may have been answered meanwhile, here or in another process: the first answer wins, so that
        # the next run repeats this one.
        kept = self._journal.get(key)
        return completion if kept is None else _decode(kept)
