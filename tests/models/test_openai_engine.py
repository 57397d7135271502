import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from stillhouse.models import endpoints, openai_engine
from stillhouse.models.engine import Completion, EngineError, RefusedError, Request, UnansweredError
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message
from tests.doubles.scripted_endpoint import Reply, ScriptedEndpoint, completion

SAMPLING = Sampling(temperature=0.5, top_p=0.9, max_tokens=64)
QUESTION = Message(role="user", content="Wie groß ist 1 + 1?")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "FIRST_WAIT_SECONDS", 0.0)


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
    assert 0 <= answer.latency_seconds < 10
    assert msgspec.structs.replace(answer, latency_seconds=None) == Completion(
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
        (completion("two", "content_filter"), ("two", "content_filter", None)),
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
        499,
        520,
        524,
        529,
        599,
        completion("half an answer", "abort"),
        {**completion("x"), "choices": [{"error": {"code": 502, "message": "upstream"}}]},
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


@pytest.mark.parametrize("status", [400, 401, 404, 422, 501, 505])
def test_what_cannot_pass_fails_at_once_with_the_reason(status: int):
    with ScriptedEndpoint(lambda _: status) as endpoint:
        with pytest.raises(EngineError, match=f"HTTP {status}: .*scripted status {status}"):
            ask(engine(endpoint.url))
        assert len(endpoint.requests) == 1


def test_it_gives_up_after_all_tries_and_names_the_last_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_engine, "TRIES", 3)
    with ScriptedEndpoint(lambda _: 503) as endpoint:
        with pytest.raises(
            UnansweredError,
            match=r"model served: no answer after 3 tries: .*HTTP 503: .*scripted status 503",
        ):
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


def test_nobody_listening_for_too_long_is_an_engine_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoints, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(endpoints, "REST_SECONDS", 0.05)
    with ScriptedEndpoint(lambda _: 500) as down:
        gone = down.url
    with pytest.raises(EngineError, match=f"no endpoint has answered for .*{gone}.*start them"):
        ask(engine(gone), count=5)


def test_no_endpoint_is_an_error():
    with pytest.raises(EngineError, match=r"endpoints` in conf/runtime\.yaml"):
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


def test_what_served_it_is_kept_apart_from_the_fingerprint():
    reply = {**completion("two"), "model": "served-0613", "system_fingerprint": "fp_1"}
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        (answer,) = ask(engine(endpoint.url))
    assert answer.made_on == {"served_model": "served-0613", "system_fingerprint": "fp_1"}


@pytest.mark.parametrize(("status", "kind"), [(400, RefusedError), (401, EngineError)])
def test_a_refusal_of_one_request_is_told_from_one_of_all(status: int, kind: type[EngineError]):
    with ScriptedEndpoint(lambda _: status) as endpoint, pytest.raises(EngineError) as raised:
        ask(engine(endpoint.url))
    assert type(raised.value) is kind


def test_a_key_that_the_endpoint_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THE_KEY", "made-up")

    def answer(_: dict) -> Reply:
        return (401, {}, b"wrong key: made-up")

    with ScriptedEndpoint(answer) as endpoint, pytest.raises(EngineError) as raised:
        ask(engine(endpoint.url, api_key_variable="THE_KEY"))
    assert "wrong key: ***" in str(raised.value)


def test_an_endpoint_that_says_nothing_is_cut_off_and_asked_again():
    hung = threading.Event()
    silent = iter([True, True])

    def answer(_: dict) -> Reply:
        if next(silent, False):
            hung.wait(30)
        return completion("two")

    with ScriptedEndpoint(answer) as endpoint:
        (reply,) = ask(engine(endpoint.url, request_seconds=0.3))
        hung.set()
    assert reply.text == "two"
    assert len(endpoint.requests) == 3


def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openai_engine, "LONGEST_BODY", 100_000)
    replies = in_turn([b"x" * 1_000_000, completion("two")])
    with ScriptedEndpoint(replies) as endpoint:
        assert ask(engine(endpoint.url))[0].text == "two"


def test_429_halves_what_is_in_flight_and_every_request_is_answered():
    lock, now, most = threading.Lock(), [0], [0]

    def answer(_: dict) -> Reply:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            too_many = now[0] > 4
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return 429 if too_many else completion("two")

    with ScriptedEndpoint(answer) as endpoint:
        asked = engine(endpoint.url)
        assert len(ask(asked, count=100)) == 100
        (one,) = asked._endpoints.all
        assert one.limit < 16
    assert most[0] <= 17


def test_retry_after_is_kept():
    with ScriptedEndpoint(
        in_turn([(429, {"Retry-After": "0.4"}, b""), completion("two")])
    ) as endpoint:
        started = time.monotonic()
        assert ask(engine(endpoint.url))[0].text == "two"
    assert time.monotonic() - started >= 0.4


def test_an_endpoint_that_vanishes_in_the_middle_loses_no_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoints, "REST_SECONDS", 0.05)

    async def run(asked: OpenAIEngine, vanish: Callable[[], None]) -> list[Completion]:
        async def one(seed: int) -> Completion:
            if seed == 40:
                await asyncio.to_thread(vanish)
            return await asked.complete(Request(messages=[QUESTION], seed=seed, query_id="q"))

        try:
            return await asyncio.gather(*(one(seed) for seed in range(200)))
        finally:
            await asked.close()

    def slow(_: dict) -> Reply:
        time.sleep(0.005)
        return completion("two")

    with ScriptedEndpoint(slow) as stays, ScriptedEndpoint(slow) as vanishes:
        asked = engine(stays.url, vanishes.url, in_flight_per_endpoint=8)
        answers = asyncio.run(run(asked, vanishes.vanish))
    assert [answer.text for answer in answers] == ["two"] * 200


def test_an_endpoint_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoints, "REST_SECONDS", 0.05)
    replies: list[Reply] = [500] * 6
    with ScriptedEndpoint(lambda _: replies.pop() if replies else completion("two")) as endpoint:
        assert len(ask(engine(endpoint.url), count=20)) == 20
        assert len(endpoint.requests) == 26
