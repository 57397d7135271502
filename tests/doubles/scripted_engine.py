"""A double of an engine: it says what a function of the request says, and keeps what it was asked."""

from collections.abc import Awaitable, Callable
from typing import Any

from stillhouse.generate.reasoning import Parts
from stillhouse.models.engine import Completion, Request
from stillhouse.records import FinishReason, Response, frame_of


def said(
    text: str, finish_reason: FinishReason = "stop", reasoning: str | None = None
) -> Completion:
    """Return a completion whose tokens are words."""
    return Completion(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=5,
        completion_tokens=len(text.split()),
        reasoning=reasoning,
    )


def stored(text: str, parts: Parts, query_id: str = "q") -> Response:
    """Return the row that is stored of a finished completion."""
    return Response(
        id="r",
        query_id=query_id,
        teacher="t",
        attempt=0,
        seed=0,
        think=parts.think,
        answer=parts.answer,
        frame=frame_of(text, *parts),
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        fingerprint="f",
    )


class ScriptedEngine:
    """Answers by script. `requests` holds what it was asked, in order; a script may raise."""

    def __init__(
        self,
        script: Callable[[Request], Awaitable[Completion]],
        *,
        concurrency: int = 4,
        journaled: bool = True,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.concurrency = concurrency
        self.journaled = journaled
        self.fingerprint: dict[str, Any] = {"engine": "scripted", **(facts or {})}
        self.requests: list[Request] = []
        self._script = script

    def render(self, request: Request) -> str:
        return "\n".join(f"{m.role}: {m.content}" for m in request.messages)

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return await self._script(request)

    async def close(self) -> None:
        """Nothing is held open."""
