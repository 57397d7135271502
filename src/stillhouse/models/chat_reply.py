"""Reads the reply of a chat endpoint, in the forms that servers and hosted APIs give it.

| part | forms that are read |
|---|---|
| body | JSON with a byte order mark, NaN or halves of surrogate pairs; server-sent events that were not asked for |
| content | text, null, or a list of parts with text and thinking |
| reasoning | `reasoning_content`, `reasoning`, `reasoning_details`, `thinking`, or the thinking parts of the content |
| usage | integers, whole floats, digits; also `input_tokens` and `output_tokens` |
| finish reason | in any case; the sets below say what it means |
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

# The reasons of complete answers: of OpenAI; of TGI, Together, Anthropic and Cohere.
COMPLETE = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete"})
# Of cut answers: of OpenAI; of Anthropic, Gemini and Cohere; of Mistral, where the context is full.
CUT = frozenset({"length", "max_tokens", "max_length", "max_output_tokens", "model_length"})
# The server ended the answer for a reason of its own; another try may give the whole.
ABORTED = frozenset(
    {"abort", "aborted", "error", "failed", "cancelled", "canceled", "interrupted", "timeout"}
    | {"network_error", "insufficient_system_resource"}
)
# Incomplete for a known reason: the answer was withheld, or is a call of a tool.
WITHHELD = frozenset(
    {"content_filter", "refusal", "safety", "recitation", "error_toxic", "sensitive"}
    | {"tool_calls", "tool_use", "function_call"}
)
MISSING = "missing"  # the name of a finish reason that is null or not there
LONGEST_NAME = 40
# Faults of a reply that come from a wrong address, as long as they come from each request.
NO_CHAT = frozenset(
    {"the reply is an HTML page", "the reply is no JSON object"}
    | {"no choices in the reply", "no message in the reply"}
)


class ReplyError(Exception):
    """A body is no chat completion. `kind` names the fault in a few words; `status` is that of an error body."""

    def __init__(self, kind: str, status: int | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion. `finish` is `stop`, `length`, or the server's own reason; tokens are null where not told."""

    text: str
    reasoning: str | None
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None
    streamed: bool
    served_model: str | None
    system_fingerprint: str | None


def read_reply(content: bytes) -> Reply:
    """Return the completion of a body with status 200.

    Raises:
        ReplyError: it is an error body, or no chat completion.
    """
    content = content.removeprefix(b"\xef\xbb\xbf").strip()
    streamed = content.startswith((b"data:", b"event:", b"id:", b": "))
    body = _joined(content) if streamed else _json(content)
    _refuse_error(body)
    choice = _first(body.get("choices"))
    if choice is None:
        raise ReplyError("no choices in the reply")
    _refuse_error(choice)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ReplyError("no message in the reply")
    text, thoughts = _said(message)
    finish = finish_name(choice.get("finish_reason"))
    if finish == "stop" and not text and message.get("refusal"):
        finish = "refusal"
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        text=_whole_characters(text),
        reasoning=_whole_characters(thoughts) or None,
        finish=finish,
        prompt_tokens=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        completion_tokens=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        streamed=streamed,
        served_model=_text_or_none(body.get("model")),
        system_fingerprint=_text_or_none(body.get("system_fingerprint")),
    )


def _json(content: bytes) -> dict[str, Any]:
    try:
        try:
            body = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Python's decoder also takes NaN and halves of surrogate pairs.
            body = json.loads(content.decode(errors="replace"))
    except (ValueError, RecursionError):
        what = "an HTML page" if content[:1] == b"<" else "empty" if not content else "not JSON"
        raise ReplyError(f"the reply is {what}") from None
    if not isinstance(body, dict):
        raise ReplyError("the reply is no JSON object")
    return body


def _joined(content: bytes) -> dict[str, Any]:
    """Return server-sent events as one body. An event is a line `data: JSON`; the last one is `data: [DONE]`."""
    body: dict[str, Any] = {}
    content_parts: list[str] = []
    thoughts: list[str] = []
    finish, done = None, False
    for line in content.splitlines():
        if not line.startswith(b"data:"):
            continue
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            done = True
            break
        event = _json(data)
        _refuse_error(event)
        body |= {key: value for key, value in event.items() if value is not None}
        choice = _first(event.get("choices"))
        if choice is None:
            continue
        _refuse_error(choice)
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            text, thinking = _said(delta)
            content_parts.append(text)
            thoughts.append(thinking)
        finish = choice.get("finish_reason") or finish
    if not done and finish is None:
        raise ReplyError("the stream of events ends in the middle")
    message = {"content": "".join(content_parts), "reasoning": "".join(thoughts)}
    return {**body, "choices": [{"message": message, "finish_reason": finish}]}


def _refuse_error(body: dict[str, Any]) -> None:
    error = body.get("error")
    if not error:
        return
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    status = _count(code if code is not None else body.get("code"))
    status = status if status is not None and 400 <= status <= 599 else None
    raise ReplyError("an error under status 200", status)


def _first(choices: Any) -> dict[str, Any] | None:
    found = choices[0] if isinstance(choices, list) and choices else None
    return found if isinstance(found, dict) else None


def _said(message: dict[str, Any]) -> tuple[str, str]:
    """Return the text and the reasoning of a message, or of a part of one."""
    text, thinking = _content(message.get("content"))
    fields = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
    found = (_plain(message.get(field)) for field in fields)
    return text, thinking or next(filter(None, found), "")


def _content(value: Any) -> tuple[str, str]:
    """Return the text and the thinking of a message's content."""
    if value is None or isinstance(value, str):
        return value or "", ""
    text: list[str] = []
    thinking: list[str] = []
    for part in value if isinstance(value, list) else [value]:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind in ("text", "output_text", "refusal"):
            text.append(_plain(part))
        elif kind in ("thinking", "reasoning", "redacted_thinking"):
            thinking.append(_plain(part))
        else:
            raise ReplyError(f"a content part of type {_name(str(kind))} in the reply")
    return "".join(text), "".join(thinking)


def _plain(value: Any) -> str:
    """Return the text of a part, a list of parts or a text; encrypted parts have none."""
    try:
        return "".join(_strings(value))
    except RecursionError:
        raise ReplyError("the reply is nested too deeply") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        for key in ("text", "thinking", "reasoning", "summary", "content", "refusal"):
            if value.get(key):
                yield from _strings(value[key])
                return


def finish_name(reason: Any) -> str:
    """Return `stop`, `length` or the name of another reason: lower case, letters, digits and underscores."""
    if reason is None or reason == "":
        return MISSING
    name = _name(str(reason))
    return "stop" if name in COMPLETE else "length" if name in CUT else name


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:LONGEST_NAME] or "unknown"


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and 0 <= value < 1e9 and value.is_integer():
        return int(value)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _whole_characters(text: str) -> str:
    """Return a text with U+FFFD in place of halves of surrogate pairs, which no UTF-8 file can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text_or_none(value: Any) -> str | None:
    return _whole_characters(value) if isinstance(value, str) and value else None
