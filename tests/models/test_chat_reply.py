"""Replies of chat endpoints in the forms that servers and hosted APIs give them."""

import json
from typing import Any

import pytest

from stillhouse.models.chat_reply import ReplyError, read_reply
from tests.doubles.scripted_endpoint import completion


def reply(message: dict[str, Any] | None = None, **changed: Any) -> bytes:
    body = completion("two")
    if message is not None:
        body["choices"][0]["message"] = message
    return json.dumps({**body, **changed}).encode()


def events(*payloads: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(payload)}\n\n" for payload in payloads]
    return "".join([": keep-alive\n\n", *lines, "data: [DONE]\n\n" if done else ""]).encode()


def piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "two"}, "two", None),
        ({"content": None}, "", None),
        ({}, "", None),
        ({"content": [{"type": "text", "text": "tw"}, {"type": "text", "text": "o"}]}, "two", None),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "1 + 1"}]},
                    {"type": "text", "text": "two"},
                ]
            },
            "two",
            "1 + 1",
        ),
        ({"content": [{"type": "thinking", "thinking": "1 + 1"}]}, "", "1 + 1"),
        ({"content": {"type": "output_text", "text": "two"}}, "two", None),
        ({"content": "two", "reasoning": "1 + 1"}, "two", "1 + 1"),
        ({"content": "two", "reasoning_content": "1 + 1", "reasoning": None}, "two", "1 + 1"),
        ({"content": "two", "thinking": "1 + 1"}, "two", "1 + 1"),
        (
            {
                "content": "two",
                "reasoning": None,
                "reasoning_details": [
                    {"type": "reasoning.summary", "summary": "1 "},
                    {"type": "reasoning.text", "text": "+ 1"},
                    {"type": "reasoning.encrypted", "data": "AAAA"},
                ],
            },
            "two",
            "1 + 1",
        ),
        # The same reasoning under two names is read once.
        (
            {"content": "two", "reasoning": "1 + 1", "reasoning_details": [{"text": "1 + 1"}]},
            "two",
            "1 + 1",
        ),
        ({"content": "cut \ud83d", "reasoning": "\ude00"}, "cut �", "�"),
        ({"content": "whole \ud83d\ude00"}, "whole 😀", None),
    ],
    ids=repr,
)
def test_text_and_reasoning(message: dict[str, Any], text: str, reasoning: str | None) -> None:
    found = read_reply(reply(message))
    assert (found.text, found.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        *((name, "stop") for name in ("stop", "STOP", "eos", "EOS", "eos_token", "end_turn")),
        *((name, "stop") for name in ("stop_sequence", "COMPLETE")),
        *((name, "length") for name in ("length", "MAX_TOKENS", "model_length", "Length")),
        ("content_filter", "content_filter"),
        ("content-filter", "content_filter"),
        ("SAFETY", "safety"),
        ("abort", "abort"),
        (None, "missing"),
        ("", "missing"),
        ({"why": "odd"}, "why_odd"),
        (7, "7"),
        ("!", "unknown"),
        ("x" * 100, "x" * 40),
    ],
)
def test_finish_reasons(reason: Any, finish: str) -> None:
    body = completion("two")
    body["choices"][0]["finish_reason"] = reason
    assert read_reply(json.dumps(body).encode()).finish == finish
    del body["choices"][0]["finish_reason"]
    assert read_reply(json.dumps(body).encode()).finish == "missing"


def test_a_refusal_in_its_own_field_is_no_complete_answer() -> None:
    found = read_reply(reply({"content": None, "refusal": "I cannot help with that."}))
    assert (found.text, found.finish) == ("", "refusal")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7.0, "completion_tokens": "3"}, (7, 3)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3)),
        ({"prompt_tokens": None, "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2.5}, (None, None)),
        ({"prompt_tokens": [7], "completion_tokens": 10**30}, (None, None)),
        (None, (None, None)),
        ([], (None, None)),
    ],
    ids=repr,
)
def test_usage(usage: Any, tokens: tuple[int | None, int | None]) -> None:
    found = read_reply(reply(usage=usage))
    assert (found.prompt_tokens, found.completion_tokens) == tokens


def test_a_byte_order_mark_and_numbers_that_json_has_not_are_read() -> None:
    body = reply(logprobs="NOT A NUMBER").replace(b'"NOT A NUMBER"', b"[NaN, -Infinity]")
    assert b"NaN" in body
    assert read_reply(b"\xef\xbb\xbf" + body + b"\n").text == "two"


def test_events_that_nobody_asked_for_are_joined() -> None:
    found = read_reply(
        events(
            piece({"role": "assistant", "content": ""}),
            piece({"reasoning_content": "1 + "}),
            piece({"reasoning_content": "1"}),
            piece({"content": "tw"}),
            piece({"content": "o"}, "length"),
            {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}},
        )
    )
    assert (found.text, found.reasoning, found.finish) == ("two", "1 + 1", "length")
    assert (found.prompt_tokens, found.completion_tokens, found.streamed) == (7, 4, True)
    assert found.served_model == "m"


DEEP = b'{"choices": [{"message": {"content": ' + b"[" * 5000 + b"]" * 5000 + b"}}]}"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "the reply is empty", None),
        (b"<html>busy</html>", "the reply is an HTML page", None),
        (b"\xff\xfe", "the reply is not JSON", None),
        (b"[]", "the reply is no JSON object", None),
        (b'{"choices": [', "the reply is not JSON", None),
        (b"9" * 5000, "the reply is no", None),
        (DEEP, "the reply is", None),
        (b"{}", "no choices", None),
        (b'{"choices": "two"}', "no choices", None),
        (b'{"choices": [null]}', "no choices", None),
        (b'{"choices": [{"text": "two"}]}', "no message", None),
        (reply({"content": [{"type": "image_url"}]}), "type image_url", None),
        (b'{"error": {"message": "Rate limit exceeded"}}', "an error under status 200", None),
        (b'{"error": "busy"}', "an error under status 200", None),
        (b'{"error": {"message": "busy", "code": 429}}', "an error", 429),
        (b'{"error": {"message": "busy", "code": "502"}}', "an error", 502),
        (b'{"error": {"message": "busy", "code": "insufficient_quota"}}', "an error", None),
        (b'{"error": {"message": "busy", "code": 7}}', "an error", None),
        (b'{"choices": [{"error": {"code": 502}, "message": {}}]}', "an error", 502),
        (events(piece({"content": "half"}), done=False), "ends in the middle", None),
        (events({"error": {"message": "busy", "code": 503}}), "an error", 503),
        (b"data: {half\n\n", "not JSON", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_completion_is_named(body: bytes, kind: str, status: int | None) -> None:
    with pytest.raises(ReplyError, match=kind) as raised:
        read_reply(body)
    assert raised.value.status == status
