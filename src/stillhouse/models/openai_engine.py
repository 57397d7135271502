"""OpenAI-compatible chat endpoints: vLLM servers of the user's own, or hosted APIs.

Requests go to the endpoint with the fewest in flight. What passes (429, 5xx, a cut connection, a body that is no
completion) is tried again with exponential back-off and jitter, first at the endpoints that have not failed this
request yet: one that is down has the fewest in flight. What cannot pass (another 4xx) fails at once. Endpoints are
where, not what: they are no part of the fingerprint.
"""

import json
import os
from collections import Counter
from typing import Annotated, Any

import httpx
import msgspec
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params import Sampling, TeacherRuntime

TRIES = 8  # with the waits below, about five minutes of an endpoint that is down
WAIT = wait_random_exponential(multiplier=0.5, max=60)
RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _PassingError(Exception):
    """Worth another try."""


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Reply(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: _Usage


_decode = msgspec.json.Decoder(_Reply).decode


class OpenAIEngine:
    """Chat completions of one model over one or more endpoints."""

    journaled = True

    def __init__(
        self,
        model: str,
        revision: str,
        sampling: Sampling,
        runtime: TeacherRuntime,
        *,
        system_prompt: str | None = None,
    ) -> None:
        """Name the model; `runtime` tells the endpoints (base URLs that end in /v1) and the key's variable.

        Raises:
            EngineError: no endpoint is given, or the key's environment variable is not set.
        """
        if not runtime.endpoints:
            raise EngineError(
                f"model {model}: engine openai needs `runtime.endpoints` (base URLs ending in /v1)"
            )
        headers = {}
        if runtime.api_key_variable is not None:
            key = os.environ.get(runtime.api_key_variable)
            if not key:
                raise EngineError(
                    f"model {model}: set the environment variable {runtime.api_key_variable} to the API key"
                )
            headers["Authorization"] = f"Bearer {key}"
        self.concurrency = runtime.in_flight_per_endpoint * len(runtime.endpoints)
        self.fingerprint: dict[str, Any] = {
            "engine": "openai",
            "model": model,
            "revision": revision,
            "system_prompt": system_prompt,
            "sampling": sampling.model_dump(),
        }
        self._model = model
        self._system_prompt = system_prompt
        self._sampling = sampling
        self._in_flight = {url.rstrip("/"): 0 for url in runtime.endpoints}
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(runtime.request_seconds, connect=10.0),
            limits=httpx.Limits(max_connections=self.concurrency),
        )

    def render(self, request: Request) -> str:
        """Return the conversation as JSON: the endpoint applies the chat template."""
        return json.dumps(self._messages(request), ensure_ascii=False)

    async def complete(self, request: Request) -> Completion:
        """Return the completion.

        Raises:
            EngineError: the endpoint refused the request, or all tries failed.
        """
        body = self._body(request)
        failures: Counter[str] = Counter()
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_PassingError),
                stop=stop_after_attempt(TRIES),
                wait=WAIT,
            ):
                with attempt:
                    return await self._ask(body, failures)
        except RetryError as error:
            reason = error.last_attempt.exception()
            raise EngineError(
                f"model {self._model}: no answer after {TRIES} tries: {reason}"
            ) from None
        raise AssertionError("AsyncRetrying ends with a return or an error")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _messages(self, request: Request) -> list[dict[str, str]]:
        turns = [{"role": m.role, "content": m.content} for m in request.messages]
        if self._system_prompt is not None:
            turns = [{"role": "system", "content": self._system_prompt}, *turns]
        return turns

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = self._sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self._messages(request),
            "seed": request.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": request.max_tokens or sampling.max_tokens,
        }
        # vLLM's extensions, sent only where they are used: hosted APIs refuse unknown keys.
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        return body

    async def _ask(self, body: dict[str, Any], failures: Counter[str]) -> Completion:
        url = min(self._in_flight, key=lambda one: (failures[one], self._in_flight[one]))
        self._in_flight[url] += 1
        try:
            reply = await self._client.post(f"{url}/chat/completions", json=body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise EngineError(
                f"runtime.endpoints: {url!r}: {error}; a base URL such as http://host:8000/v1 is needed"
            ) from None
        except httpx.RequestError as error:
            failures[url] += 1
            raise _PassingError(f"{url}: {type(error).__name__} {error}") from None
        finally:
            self._in_flight[url] -= 1
        if reply.status_code in RETRIED_STATUS:
            failures[url] += 1
            raise _PassingError(f"{url}: HTTP {reply.status_code}")
        if reply.status_code != httpx.codes.OK:
            raise EngineError(f"{url}: HTTP {reply.status_code}: {reply.text[:300]}")
        try:
            return _completion(_decode(reply.content))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            failures[url] += 1
            raise _PassingError(f"{url}: not a chat completion: {error}") from None


def _completion(reply: _Reply) -> Completion:
    choice = reply.choices[0]
    return Completion(
        text=choice.message.content or "",
        reasoning=choice.message.reasoning_content or choice.message.reasoning,
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
    )
