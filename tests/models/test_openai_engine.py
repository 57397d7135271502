import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tenacity import wait_none

from stillhouse.models import openai_engine
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.params import Sampling, TeacherRuntime
from stillhouse.records import Message
from tests.doubles.scripted_endpoint import Reply, ScriptedEndpoint, completion

SAMPLING = Sampling(temperature=0.5, top_p=0.9, max_tokens=64)
QUESTION = Message(role="user", content="Wie groß ist 1 + 1?")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "WAIT", wait_none())


def engine(
    *urls: str, system_prompt: str | None = None, sampling: Sampling = SAMPLING, **runtime: Any
) -> OpenAIEngine:
    return OpenAIEngine(
        "served",
        "none",
        sampling,
        TeacherRuntime(endpoints=list(urls), **runtime),
        system_prompt=system_prompt,
    )


def ask(asked: OpenAIEngine, count: int = 1) -> list[Completion]:
    async def run() -> list[Completion]:
        try:
            return await asyncio.gather(
                *(
                    asked.complete(Request(messages=[QUESTION], seed=seed, query_id="q"))
                    for seed in range(count)
                )
            )
        finally:
            await asked.close()

    return asyncio.run(run())


def in_turn(replies: Sequence[Reply]) -> Callable[[dict[str, Any]], Reply]:
    """Answer with the replies in turn."""
    remaining = iter(replies)
    return lambda _: next(remaining)


def test_a_completion_comes_back_whole():
    with ScriptedEndpoint(lambda _: completion("It is two.")) as endpoint:
        (answer,) = ask(engine(endpoint.url + "/"))
    assert answer == Completion(
        text="It is two.", finish_reason="stop", prompt_tokens=7, completion_tokens=3
    )


def test_the_request_says_all_that_decides_the_answer():
    with ScriptedEndpoint(lambda _: completion("two")) as endpoint:
        ask(engine(endpoint.url, system_prompt="Be brief."))
    assert endpoint.requests == [
        {
            "model": "served",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Wie groß ist 1 + 1?"},
            ],
            "seed": 0,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 64,
        }
    ]
    assert "authorization" not in endpoint.headers[0]


def test_extensions_are_sent_only_where_they_are_used():
    used = SAMPLING.model_copy(update={"top_k": 20, "min_p": 0.1, "repetition_penalty": 1.1})
    with ScriptedEndpoint(lambda _: completion("two")) as endpoint:
        ask(engine(endpoint.url, sampling=used))
    sent = endpoint.requests[0]
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"]) == (20, 0.1, 1.1)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (completion("cut", "length"), ("cut", "length", None)),
        (completion("two", reasoning="1 + 1"), ("two", "stop", "1 + 1")),
        (completion(None, "length", reasoning="1 +"), ("", "length", "1 +")),
        (completion("two", "content_filter"), ("two", "stop", None)),
    ],
)
def test_reasoning_and_finish_reason(reply: dict, expected: tuple):
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        (answer,) = ask(engine(endpoint.url))
    assert (answer.text, answer.finish_reason, answer.reasoning) == expected


def test_reasoning_under_its_other_name():
    reply = completion("two")
    reply["choices"][0]["message"]["reasoning"] = "1 + 1"
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        assert ask(engine(endpoint.url))[0].reasoning == "1 + 1"


NULL_MESSAGE = {**completion("x"), "choices": [{"message": None, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "reply",
    [
        408,
        429,
        500,
        502,
        503,
        504,
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"[]",
        json.dumps(completion("cut off here")).encode()[:40],
        {"error": {"message": "overloaded"}},
        {**completion("x"), "choices": []},
        {**completion("x"), "usage": None},
        NULL_MESSAGE,
    ],
    ids=repr,
)
def test_what_passes_is_tried_again(reply: Reply):
    with ScriptedEndpoint(in_turn([reply, reply, completion("two")])) as endpoint:
        (answer,) = ask(engine(endpoint.url))
    assert answer.text == "two"
    assert len(endpoint.requests) == 3
    assert endpoint.requests[0] == endpoint.requests[2]


def test_a_connection_cut_in_the_body_is_tried_again():
    half = json.dumps(completion("two")).encode()[:30]
    with ScriptedEndpoint(in_turn([half, completion("two")]), declare_bytes=50) as endpoint:
        (answer,) = ask(engine(endpoint.url))
    assert answer.text == "two"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_what_cannot_pass_fails_at_once_with_the_reason(status: int):
    with ScriptedEndpoint(lambda _: status) as endpoint:
        with pytest.raises(EngineError, match=f"HTTP {status}: .*scripted status {status}"):
            ask(engine(endpoint.url))
        assert len(endpoint.requests) == 1


def test_it_gives_up_after_all_tries_and_names_the_last_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_engine, "TRIES", 3)
    with ScriptedEndpoint(lambda _: 503) as endpoint:
        with pytest.raises(EngineError, match=r"model served: no answer after 3 tries: .*HTTP 503"):
            ask(engine(endpoint.url))
        assert len(endpoint.requests) == 3


def test_requests_go_to_the_endpoint_with_the_fewest_in_flight():
    all_in_flight = threading.Barrier(4, timeout=20)

    def answer(_: dict) -> Reply:
        all_in_flight.wait()
        return completion("two")

    with ScriptedEndpoint(answer) as one, ScriptedEndpoint(answer) as other:
        answers = ask(engine(one.url, other.url), count=4)
        assert len(answers) == 4
        assert (len(one.requests), len(other.requests)) == (2, 2)


def test_an_endpoint_that_is_down_does_not_take_all_tries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_engine, "TRIES", 2)
    with ScriptedEndpoint(lambda _: completion("two")) as down:
        gone = down.url
    with ScriptedEndpoint(lambda _: completion("two")) as up:
        assert len(ask(engine(gone, up.url), count=6)) == 6
        assert len(up.requests) == 6


def test_nobody_listening_is_an_engine_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_engine, "TRIES", 2)
    with ScriptedEndpoint(lambda _: 500) as down:
        gone = down.url
    with pytest.raises(EngineError, match=r"no answer after 2 tries: .*ConnectError"):
        ask(engine(gone))


@pytest.mark.parametrize("url", ["localhost:8000/v1", "127.0.0.1/v1", "http://host:port/v1"])
def test_a_malformed_base_url_fails_at_once_and_is_named(url: str):
    with pytest.raises(EngineError, match="a base URL such as") as raised:
        ask(engine(url))
    assert url in str(raised.value)


def test_no_endpoint_is_an_error():
    with pytest.raises(EngineError, match=r"runtime\.endpoints"):
        engine()


def test_the_key_comes_from_the_environment_and_a_missing_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(EngineError, match="THE_KEY"):
        engine("http://127.0.0.1:9/v1", api_key_variable="THE_KEY")
    monkeypatch.setenv("THE_KEY", "made-up")
    with ScriptedEndpoint(lambda _: completion("two")) as endpoint:
        asked = engine(endpoint.url, api_key_variable="THE_KEY")
        ask(asked)
    assert endpoint.headers[0]["authorization"] == "Bearer made-up"
    assert "made-up" not in json.dumps(asked.fingerprint)


def test_the_fingerprint_holds_what_and_not_where():
    one = engine("http://a.invalid/v1", in_flight_per_endpoint=3)
    other = engine("http://b.invalid/v1", "http://c.invalid/v1", in_flight_per_endpoint=4)
    assert one.fingerprint == other.fingerprint
    assert (one.concurrency, other.concurrency) == (3, 8)
    hotter = engine(
        "http://a.invalid/v1", sampling=SAMPLING.model_copy(update={"temperature": 1.0})
    )
    assert hotter.fingerprint != one.fingerprint
    assert engine("http://a.invalid/v1", system_prompt="Be brief.").fingerprint != one.fingerprint


def test_the_rendered_prompt_holds_the_system_prompt_and_every_turn():
    asked = engine("http://a.invalid/v1", system_prompt="Be brief.")
    rendered = json.loads(asked.render(Request(messages=[QUESTION], seed=0, query_id="q")))
    assert [turn["content"] for turn in rendered] == ["Be brief.", QUESTION.content]
