"""What a teacher's requests to an endpoint have beside model, messages and sampling."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from stillhouse.params.base import Section

# Fields that a parameter or the run itself sets. Null takes one of them out of the request.
_SET_ELSEWHERE = {
    "model": "teacher.model",
    "messages": "the query and teacher.system_prompt",
    "seed": "run.seed",
    "n": "the run, which takes one answer per request",
    **{
        name: f"teacher.sampling.{name}"
        for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")
    },
    "max_completion_tokens": "teacher.sampling.max_tokens, with max_tokens_field",
    "chat_template_kwargs": "teacher.request.chat_template_kwargs",
    "reasoning_effort": "teacher.request.reasoning_effort",
}
_NEVER_EMPTY = frozenset({"model", "messages"})
_SECRET_FIELD = re.compile(r"authorization|api[-_]?key|secret|passw|credential", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"auth|key|token|secret|passw|credential|cookie", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\s*(bearer|basic)\s", re.IGNORECASE)
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
    }
)
_TO_THE_KEY = (
    "a secret must not stand in a tracked file; name the environment variable with the API key as `api_key_variable` "
    "in conf/runtime.yaml, and it is sent as `Authorization: Bearer`"
)


def _check_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("values must be those of JSON: no dates, no .nan, no .inf") from None
    return value


def _check_body(value: dict[str, Any]) -> dict[str, Any]:
    for name, content in _check_json(value).items():
        if _SECRET_FIELD.search(name):
            raise ValueError(f"{name}: {_TO_THE_KEY}")
        if name in _SET_ELSEWHERE and (content is not None or name in _NEVER_EMPTY):
            raise ValueError(f"{name}: it is set by {_SET_ELSEWHERE[name]}")
    return value


def _check_headers(value: dict[str, str]) -> dict[str, str]:
    for name, content in value.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError("the name of a header has letters, digits and hyphens only")
        if _SECRET_HEADER.search(name) or _SECRET_VALUE.match(content):
            raise ValueError(f"{name}: {_TO_THE_KEY}")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name}: this header is set by the client")
        if not re.fullmatch(r"[\x20-\x7e]*", content):
            raise ValueError(f"{name}: a header is one line of printable ASCII")
    return value


JsonFields = Annotated[dict[str, Any], AfterValidator(_check_json)]


class RequestOptions(Section):
    """Fields and headers of the requests of `engine: openai`. Those that are set are part of the journal's key.

    `extra_body` is put into the body of each request; null takes a field out, such as `seed` or `top_p` for an API that
    refuses it. `headers` are sent with it, and may hold no secret. `max_tokens_field` names the field with the token
    limit; newer OpenAI models take `max_completion_tokens` only. `chat_template_kwargs` are those of vLLM and SGLang,
    such as `enable_thinking`. `reasoning_effort` is OpenAI's.
    """

    extra_body: Annotated[dict[str, Any], AfterValidator(_check_body)] = {}
    headers: Annotated[dict[str, str], AfterValidator(_check_headers)] = {}
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    chat_template_kwargs: JsonFields = {}
    reasoning_effort: str | None = None
