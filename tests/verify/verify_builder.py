"""Queries and responses for the tests of this folder, and a scripted judge."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillhouse.models.engine import Completion, Request
from stillhouse.params.verify import Verify
from stillhouse.records import CodeTest, Constraint, Message, Query, Response, query_id, response_id
from stillhouse.verify.audit import LIMITS

GOLDEN = Path(__file__).with_name("golden")


def golden(name: str) -> list[dict[str, Any]]:
    """Return the cases of one golden file."""
    cases: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return cases


def make_query(category: str, text: str = "What is 3 + 4?", **fields: Any) -> Query:
    messages = [Message(role="user", content=text)]
    return Query(
        id=query_id(messages),
        category=category,  # type: ignore[arg-type]
        source="made",
        license="apache-2.0",
        messages=messages,
        **fields,
    )


def code_query(case: dict[str, Any]) -> Query:
    return make_query(
        "code",
        tests=[CodeTest(**test) for test in case["tests"]],
        language=case.get("language", "python"),
        setup=case.get("setup"),
        entry_point=case.get("entry_point"),
    )


def constraints(case: dict[str, Any]) -> list[Constraint]:
    return [Constraint(**constraint) for constraint in case["constraints"]]


def make_response(query: Query, answer: str, finish_reason: str = "stop") -> Response:
    return Response(
        id=response_id(query.id, "made", 0, answer),
        query_id=query.id,
        teacher="made",
        attempt=0,
        seed=1,
        think="",
        answer=answer,
        frame=["", ""],
        finish_reason=finish_reason,  # type: ignore[arg-type]
        prompt_tokens=1,
        completion_tokens=1,
        fingerprint="none",
    )


def make_verify(**changes: Any) -> Verify:
    fields: dict[str, Any] = {
        "threshold": 0.9,
        "judge": {"model": "made_judge", "math": "any_no", "science": "any_no"},
        "reward": None,
        "item_cpu_seconds": 60.0,
        "code": LIMITS,
    }
    return Verify(**{**fields, **changes})


class ScriptedJudge:
    """A judge double: replies by a function of the last turn, and keeps the requests."""

    def __init__(self, reply: Callable[[str], str] | str) -> None:
        self.requests: list[Request] = []
        self._reply = reply

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        last = request.messages[-1].content
        text = self._reply if isinstance(self._reply, str) else self._reply(last)
        return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)
