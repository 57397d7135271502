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
    """There is no answer to this request and never will be: a replay holds none, or the prompt exceeds the context.

    The query stays unanswered and is counted; the run goes on.
    """


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request for one completion.

    `query_id` and `attempt` name the request for the replay engine and the logs; they are no part of its journal key.
    """

    messages: list[Message]
    seed: int
    query_id: str
    attempt: int = 0


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `reasoning` is filled by endpoints that return it apart from the text."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reasoning: str | None = None


class Engine(Protocol):
    """The four things that the loop needs of an engine."""

    concurrency: int
    """How many requests should be in flight to keep it busy."""

    fingerprint: dict[str, Any]
    """All that decides what it says, JSON-ready; its hash is part of every journal key."""

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
