"""What hosted APIs and odd servers do, over real HTTP: statuses, errors, lacks, redirects, keys and request options."""

import json
import re
import time
from collections import Counter
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from stillhouse.generate.tally import WalkTally
from stillhouse.generate.view import View
from stillhouse.models import openai_engine
from stillhouse.models.endpoints import retry_after
from stillhouse.models.engine import Completion, EngineError, RefusedError, Request, UnansweredError
from stillhouse.models.reply_checks import FIRST_ANSWERS
from stillhouse.params.request import RequestOptions
from stillhouse.params.teacher import TeacherRuntime
from stillhouse.records import Message
from tests.doubles.scripted_endpoint import Reply, ScriptedEndpoint, completion
from tests.models.test_openai_engine import SAMPLING, ask, engine, in_turn

KEY = "sk-made/up+0123456789"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(openai_engine, "TRIES", 3)
    monkeypatch.setattr(openai_engine, "RATE_LIMIT_SECONDS", 0.0)
    monkeypatch.setattr("stillhouse.models.endpoints.REST_SECONDS", 0.01)


def with_options(url: str, **options: Any) -> openai_engine.OpenAIEngine:
    return openai_engine.OpenAIEngine(
        "served",
        "none",
        SAMPLING,
        TeacherRuntime(endpoints=[url]),
        options=RequestOptions(**options),
    )


def failure(reply: Reply, **runtime: Any) -> str:
    """Return the message of the error that a reply ends in."""
    with ScriptedEndpoint(lambda _: reply) as endpoint, pytest.raises(EngineError) as raised:
        ask(engine(endpoint.url, **runtime))
    return str(raised.value)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "7"}, 7, 7),
        ({"Retry-After": "-7"}, 0, 0),
        ({"Retry-After": "nan"}, 0, 0),
        ({"Retry-After": "inf"}, 0, 0),
        ({"Retry-After": "Mon, 99 Foo 9999"}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], low: float, high: float) -> None:
    assert low <= retry_after(headers) <= high


def test_retry_after_may_be_a_date() -> None:
    now = time.time()
    assert 3500 <= retry_after({"Retry-After": formatdate(now + 3600, usegmt=True)}) <= 3601
    assert retry_after({"Retry-After": formatdate(now - 3600, usegmt=True)}) == 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_date_in_retry_after_is_kept(status: int) -> None:
    # A date has whole seconds, so that one two seconds ahead is at least one away.
    at = formatdate(time.time() + 2, usegmt=True)
    with ScriptedEndpoint(in_turn([(status, {"Retry-After": at}, b""), completion("2")])) as one:
        started = time.monotonic()
        assert ask(engine(one.url))[0].text == "2"
    assert 0.5 <= time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        ((500, {}, b'{"error": "grammar of the prompt"}'), "HTTP 500", "grammar of the prompt"),
        ((429, {}, b'{"error": "insufficient_quota"}'), "HTTP 429", "insufficient_quota"),
        ({"error": {"message": "free-models-per-day"}}, "an error under", "free-models-per-day"),
        ({"error": {"message": "upstream", "code": 502}}, "HTTP 502", "upstream"),
        (b"<html>wrong address</html>", "an HTML page", "wrong address"),
        ({"object": "list", "data": []}, "no choices", '"data": []'),
        (completion("half", "abort"), "finish_reason abort", "abort"),
    ],
    ids=repr,
)
def test_a_request_that_keeps_failing_has_a_reason_and_the_providers_words(
    reply: Reply, kind: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        asked = engine(endpoint.url)
        with pytest.raises(UnansweredError, match="no answer after 3 tries") as raised:
            ask(asked)
    assert kind in raised.value.kind
    assert words in str(raised.value)
    assert asked.failed_tries.total() == 3
    # It is named at the first try, once.
    told = capsys.readouterr().err
    assert f"model served: {endpoint.url}: " in told
    assert len(re.findall("; it is tried again[\n;]", told)) == 1
    assert ("ending in /v1" in told) == (kind in ("an HTML page", "no choices"))
    assert words in told


def test_a_rate_limit_is_waited_for_longer_than_any_other_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_engine, "RATE_LIMIT_SECONDS", 60.0)
    with ScriptedEndpoint(in_turn([429] * 7 + [completion("two")])) as endpoint:
        assert ask(engine(endpoint.url))[0].text == "two"
    assert len(endpoint.requests) == 8


def test_an_endpoint_that_cannot_be_reached_is_named_within_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.models.endpoints.PATIENCE_SECONDS", 1.0)
    with ScriptedEndpoint(lambda _: 500) as gone:
        url = gone.url
    asked = engine(url)
    with pytest.raises(EngineError, match=f"no endpoint has answered for .*{url}: cannot be"):
        ask(asked)
    told = capsys.readouterr().err
    assert told.startswith(f"model served: {url}: cannot be reached: ")
    assert told.count("it is tried again until it answers") == 1
    assert asked.trouble is not None
    assert asked.trouble.startswith(f"{url}: cannot be reached: ")
    loop: Any = SimpleNamespace(tokens=0, cost=None, in_flight=1)
    model: Any = SimpleNamespace(asked=1, hits=0, engine=asked)
    shown = View(loop, WalkTally(), model, Counter(math=1)).figures().line
    assert f"{url}: cannot be reached: " in shown


def test_an_address_that_swallows_packets_is_named_within_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket whose queue of connections is full does not answer the next SYN, as a firewall does not."""
    import socket

    monkeypatch.setattr("stillhouse.models.endpoints.PATIENCE_SECONDS", 0.0)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(full.getsockname())
            waiting.append(other)
        started = time.monotonic()
        with pytest.raises(EngineError, match="cannot be reached"):
            ask(engine(f"http://127.0.0.1:{full.getsockname()[1]}/v1"))
        seconds = time.monotonic() - started
        for other in waiting:
            other.close()
    assert seconds < 10
    assert "cannot be reached" in capsys.readouterr().err


def test_an_endpoint_that_answers_again_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine, "TRIES", 5)
    replies: list[Reply] = [500] * 3
    with ScriptedEndpoint(lambda _: replies.pop() if replies else completion("two")) as endpoint:
        asked = engine(endpoint.url)
        ask(asked)
        assert asked.trouble is None
    assert f"model served: {endpoint.url}: answers again\n" in capsys.readouterr().err


@pytest.mark.parametrize("finish", [None, "odd_end"])
def test_answers_that_do_not_say_that_they_are_complete_are_named_and_stop_the_run(
    finish: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = completion("two")
    reply["choices"][0]["finish_reason"] = finish
    name = finish or "missing"
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        (answer,) = ask(engine(endpoint.url))
        assert answer.finish_reason == name
        told = capsys.readouterr().err
        assert "never accepted; use a server that says `stop` or `length`" in told
        with pytest.raises(
            EngineError, match=f"{FIRST_ANSWERS} of the first {FIRST_ANSWERS} .*{name}"
        ):
            ask(engine(endpoint.url), count=FIRST_ANSWERS)


def test_a_few_odd_finish_reasons_stop_nothing() -> None:
    replies = [completion("two", "odd") for _ in range(FIRST_ANSWERS // 2)]
    with ScriptedEndpoint(lambda _: replies.pop() if replies else completion("two")) as endpoint:
        answers = ask(engine(endpoint.url), count=3 * FIRST_ANSWERS)
    assert [a.finish_reason for a in answers].count("odd") == FIRST_ANSWERS // 2


def test_missing_usage_counts_as_zero_and_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    reply = {**completion("two"), "usage": None}
    with ScriptedEndpoint(lambda _: reply) as endpoint:
        answers = ask(engine(endpoint.url), count=3)
    assert {(a.prompt_tokens, a.completion_tokens) for a in answers} == {(0, 0)}
    assert capsys.readouterr().err.count("no `usage`") == 1


def test_missing_usage_under_a_budget_ends_the_run_at_the_first_answer() -> None:
    said = failure({**completion("two"), "usage": None}, budget={"tokens": 100})
    assert "`budget` of conf/runtime.yaml cannot be kept" in said


def test_a_server_that_only_streams_is_read_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [
        {"choices": [{"delta": {"content": "tw"}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "o"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}},
    ]
    body = "".join(f"data: {json.dumps(one)}\n\n" for one in pieces).encode() + b"data: [DONE]\n\n"
    with ScriptedEndpoint(lambda _: body) as endpoint:
        (answer,) = ask(engine(endpoint.url))
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("two", "stop", 1)
    assert "sends events though none were asked for" in capsys.readouterr().err


def test_a_redirect_names_the_new_address_without_its_secrets() -> None:
    to = "https://me:s3cret@new.invalid/v2/chat/completions?key=s3cret"
    said = failure((307, {"Location": to}, b""))
    assert "HTTP 307: it redirects to https://new.invalid/v2; set this as `endpoints`" in said
    assert "s3cret" not in said
    assert "does not say where to" in failure((307, {}, b""))


ECHOES = {
    "whole": lambda key: key,
    "cut by the provider": lambda key: key[:14],
    "with a space": lambda key: f" {key} ",
    "as JSON": lambda key: key.replace("/", "\\/"),
    "at the cut": lambda key: "." * 285 + key,
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_is_in_no_error_and_no_line(
    echo: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THE_KEY", KEY + "\r\n")
    said = failure(
        (status, {}, f"wrong key: {ECHOES[echo](KEY)}".encode()), api_key_variable="THE_KEY"
    )
    told = said + capsys.readouterr().err
    assert "wrong key: " in told
    assert not [KEY[i : i + 6] for i in range(len(KEY) - 5) if KEY[i : i + 6] in told]


def test_a_key_with_a_line_end_is_sent_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY + "\r\n")
    with ScriptedEndpoint(lambda _: completion(f"You sent {KEY}")) as endpoint:
        (answer,) = ask(engine(endpoint.url, api_key_variable="THE_KEY"))
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert answer.text == "You sent ***"  # what is stored has no key either


def test_options_are_in_the_request_and_in_the_fingerprint_only_where_they_are_set() -> None:
    with ScriptedEndpoint(lambda _: completion("two")) as endpoint:
        plain, empty = engine(endpoint.url), with_options(endpoint.url)
        full = with_options(
            endpoint.url,
            extra_body={"seed": None, "provider": {"order": ["a"]}, "stream": False},
            headers={"X-Title": "stillhouse"},
            max_tokens_field="max_completion_tokens",
            chat_template_kwargs={"enable_thinking": False},
            reasoning_effort="high",
        )
        ask(full)
        ask(empty)
    sent, bare = endpoint.requests
    assert sent["max_completion_tokens"] == SAMPLING.max_tokens
    assert sent["provider"] == {"order": ["a"]}
    assert sent["stream"] is False
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent["reasoning_effort"] == "high"
    assert not {"seed", "max_tokens"} & set(sent)
    assert endpoint.headers[0]["x-title"] == "stillhouse"
    assert set(bare) == {"model", "messages", "seed", "temperature", "top_p", "max_tokens"}
    assert plain.fingerprint == empty.fingerprint
    assert "request" not in plain.fingerprint
    assert full.fingerprint["request"] == {
        "extra_body": {"seed": None, "provider": {"order": ["a"]}, "stream": False},
        "headers": {"X-Title": "stillhouse"},
        "max_tokens_field": "max_completion_tokens",
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "high",
    }


def test_a_message_that_no_request_can_hold_is_refused_and_named() -> None:
    import asyncio

    async def run() -> Completion:
        asked = engine("http://a.invalid/v1")
        message = Message(role="user", content="half \ud83d")
        return await asked.complete(Request(messages=[message], seed=1, query_id="q7"))

    with pytest.raises(RefusedError, match=r"query q7: .*surrogate"):
        asyncio.run(run())
