"""What an engine is: something that completes rendered prompts, many at a time.

The loop and the verifiers talk to a `Model` (models/client.py), which puts the journal in front of an engine. An engine
knows nothing of queries, teachers or verdicts.
"""

from typing import Any, Literal, Protocol

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.records import FinishReason, Message


class EngineError(StillhouseError):
    """An engine cannot start, or a request failed for good: infrastructure, never a wrong answer."""


class NoAnswerError(EngineError):
    """A replay engine holds no answer for this query and attempt."""


class OneRequestError(EngineError):
    """One request has no answer; others may have one. `kind` names the reason in a few words, for counts."""

    def __init__(self, message: str, kind: str = "refused") -> None:
        super().__init__(message)
        self.kind = kind


class RefusedError(OneRequestError):
    """The engine cannot take this one request, for one because its prompt is longer than the context."""


class UnansweredError(OneRequestError):
    """All tries of this one request failed."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request for one completion.

    `query_id` and `attempt` name the request for the replay engine and the logs; they are no part of its journal key.
    `max_tokens` takes the place of the sampling's, and is part of the key where it does.
    """

    messages: list[Message]
    seed: int
    query_id: str
    attempt: int = 0
    max_tokens: int | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, as the journal keeps it.

    `finish_reason` is `stop` for a complete answer, `length` for a cut one, and the engine's own name of the reason for
    any other. `reasoning` is filled by endpoints that return it apart from the text. `latency_seconds` is the time from
    asking to the last token. `made_on` holds what may change the last bit of a number but is no reason to ask again, so
    that it is no part of the journal key: device, parallel sizes, versions of libraries.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reasoning: str | None = None
    latency_seconds: float | None = None
    made_on: dict[str, Any] | None = None


class Engine(Protocol):
    """The four things that the loop needs of an engine."""

    concurrency: int
    """How many requests should be in flight to keep it busy."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All that decides what it says, JSON-ready; its hash is part of every journal key."""
        ...

    journaled: bool
    """Whether its answers cost anything, and so belong in the journal."""

    def render(self, request: Request) -> str:
        """Return the prompt exactly as the model sees it (for the journal key), without starting the engine."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Return the completion; starts the engine on first use.

        Raises:
            EngineError: the request failed for good.
        """
        ...

    async def close(self) -> None:
        """Free devices, processes and connections."""
        ...


Purpose = Literal["teacher", "judge", "scorer", "reward", "student"]
