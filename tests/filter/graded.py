"""Queries, responses, verdicts and perplexities for the tests of this room."""

from stillhouse.records import (
    FinishReason,
    Message,
    Perplexity,
    Query,
    Response,
    State,
    Verdict,
    query_id,
    response_id,
)


def query(roles: list[str] | None = None, name: str = "What is 2 + 2?") -> Query:
    messages = [
        Message(role=role, content=f"{name} {turn}")  # type: ignore[arg-type]
        for turn, role in enumerate(roles or ["user"])
    ]
    return Query(
        id=query_id(messages),
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=messages,
    )


def response(
    asked: Query | None = None,
    *,
    attempt: int = 0,
    think: str = "",
    answer: str = "It is 4.",
    finish_reason: FinishReason = "stop",
    tokens: int = 10,
) -> Response:
    owner = (asked or query()).id
    text = f"{think}|{answer}"
    return Response(
        id=response_id(owner, "teacher", attempt, text),
        query_id=owner,
        teacher="teacher",
        attempt=attempt,
        seed=attempt,
        think=think,
        answer=answer,
        frame=["", "|", ""],
        finish_reason=finish_reason,
        prompt_tokens=5,
        completion_tokens=tokens,
        fingerprint="f" * 16,
    )


def verdict(graded: Response, state: State = "pass") -> Verdict:
    return Verdict(
        response_id=graded.id,
        query_id=graded.query_id,
        state=state,
        score={"pass": 1.0, "fail": 0.0, "ungradable": None}[state],
        reason=None if state == "pass" else "made_up",
        verifier="double",
    )


def perplexity(scored: Response, value: float = 2.0) -> Perplexity:
    return Perplexity(response_id=scored.id, perplexity=value, tokens=scored.completion_tokens)
