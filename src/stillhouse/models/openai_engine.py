"""Requests completions from OpenAI-compatible chat endpoints: the user's vLLM servers, or hosted APIs.

models/endpoints.py selects the endpoint of a request and limits the requests in flight. Transient failures (429, 5xx,
a lost connection, a body that is not a completion) are retried with exponential back-off and jitter. Permanent failures
are raised at once: a refusal of one request (400, 413, 422) as RefusedError, anything else (a wrong key, an unknown
model) as EngineError. Endpoints do not determine the answers, so they are not part of the fingerprint.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import msgspec

from stillhouse.models.endpoints import Endpoint, Endpoints
from stillhouse.models.engine import Completion, EngineError, RefusedError, Request
from stillhouse.models.key_names import sampling_facts
from stillhouse.params.teacher import Sampling, TeacherRuntime

TRIES = 8  # failed tries of a request; about five minutes with the waits below
# Upper bound of the first wait. The bound doubles with each try, and the wait is uniform below it ("full jitter").
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
CONNECT_SECONDS = 10.0
LONGEST_BODY = 64 << 20  # bytes; a million tokens as JSON take a tenth of it
OVERLOADED_STATUS = frozenset({408, 429, 503})
TRANSIENT_STATUS = OVERLOADED_STATUS | {409, 425, 500, 502, 504}
REFUSED_STATUS = frozenset({400, 413, 422})


class _TransientError(Exception):
    """A failure that may not occur in another try."""


class _UnreachableError(Exception):
    """The request never reached the endpoint; it does not count as a try."""


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
    model: str | None = None
    system_fingerprint: str | None = None


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
        """Check the endpoints and read the API key; no request is sent.

        Args:
            model: The name of the model at the endpoints.
            revision: The revision of the model, part of the fingerprint.
            sampling: The sampling parameters.
            runtime: The endpoints (base URLs that end in /v1), their limits, and the variable with the API key.
            system_prompt: A system message that is put before each conversation.

        Raises:
            EngineError: there is no endpoint, an endpoint is not a URL, or the key's environment variable is not set.
        """
        if not runtime.endpoints:
            raise EngineError(
                f"model {model}: engine openai needs `endpoints` in conf/runtime.yaml (base URLs ending in /v1)"
            )
        self._key = None
        if runtime.api_key_variable is not None:
            self._key = os.environ.get(runtime.api_key_variable)
            if not self._key:
                raise EngineError(
                    f"model {model}: set the environment variable {runtime.api_key_variable} to the API key"
                )
        urls = list(dict.fromkeys(_checked(url) for url in runtime.endpoints))
        self.concurrency = runtime.in_flight_per_endpoint * len(urls)
        self.fingerprint: dict[str, Any] = {
            "engine": "openai",
            "model": model,
            "revision": revision,
            "system_prompt": system_prompt,
            "sampling": sampling_facts(sampling),
        }
        self._model = model
        self._system_prompt = system_prompt
        self._sampling = sampling
        self._endpoints = Endpoints(urls, runtime.in_flight_per_endpoint)
        self._request_seconds = runtime.request_seconds
        self._session: aiohttp.ClientSession | None = None

    def render(self, request: Request) -> str:
        """Return the conversation as JSON: the endpoint applies the chat template."""
        return json.dumps(self._messages(request), ensure_ascii=False)

    async def complete(self, request: Request) -> Completion:
        """Return the completion.

        Raises:
            RefusedError: the endpoint refuses this request (for example a prompt longer than the context).
            EngineError: the endpoint refuses every request, all tries failed, or no endpoint can be reached.
        """
        body = msgspec.json.encode(self._body(request))
        failures: Counter[str] = Counter()
        wait = FIRST_WAIT_SECONDS
        for tries in range(1, TRIES + 1):
            try:
                return await self._try(body, failures)
            except _TransientError as error:
                if tries == TRIES:
                    raise EngineError(
                        f"model {self._model}: no answer after {TRIES} tries: {error}"
                    ) from None
            await asyncio.sleep(random.uniform(0.0, wait))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

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
        # Extensions of vLLM are sent only if they are set: hosted APIs refuse unknown keys.
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        return body

    async def _try(self, body: bytes, failures: Counter[str]) -> Completion:
        """Send the request to the endpoint with the lightest load, and to the next one if it is unreachable."""
        while True:
            endpoint = await self._endpoints.acquire(failures)
            try:
                return await self._ask(endpoint, body)
            except _UnreachableError:
                failures[endpoint.url] += 1
            except _TransientError:
                failures[endpoint.url] += 1
                raise
            finally:
                self._endpoints.release(endpoint)

    async def _ask(self, endpoint: Endpoint, body: bytes) -> Completion:
        asked_at = time.monotonic()
        try:
            async with self._open_session().post(
                f"{endpoint.url}/chat/completions", data=body, allow_redirects=False
            ) as reply:
                content = await _read(reply)
        except aiohttp.ClientConnectorError as error:
            endpoint.unreachable(asked_at)
            raise _UnreachableError(str(error)) from None
        except TimeoutError:
            endpoint.overloaded(asked_at)
            endpoint.faulty(asked_at)
            raise _TransientError(
                f"{endpoint.url}: no response for {time.monotonic() - asked_at:.0f} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            endpoint.faulty(asked_at)
            raise _TransientError(f"{endpoint.url}: {type(error).__name__} {error}") from None
        if reply.status in OVERLOADED_STATUS:
            endpoint.overloaded(asked_at, _seconds(reply.headers.get("Retry-After")))
        if reply.status in TRANSIENT_STATUS:
            if reply.status != 429:
                endpoint.faulty(asked_at)
            raise _TransientError(f"{endpoint.url}: HTTP {reply.status}")
        if reply.status != 200:
            kind = RefusedError if reply.status in REFUSED_STATUS else EngineError
            raise kind(f"{endpoint.url}: HTTP {reply.status}: {self._shown(content)}")
        try:
            completion = _completion(_decode(content), time.monotonic() - asked_at)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            endpoint.faulty(asked_at)
            raise _TransientError(f"{endpoint.url}: not a chat completion: {error}") from None
        endpoint.answered()
        return completion

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    total=self._request_seconds, sock_connect=CONNECT_SECONDS
                ),
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=bool(
                    getproxies()
                ),  # costs a thread call per request, so only if a proxy is set
            )
        return self._session

    def _shown(self, content: bytes) -> str:
        text = content[:300].decode(errors="replace")
        return text.replace(self._key, "***") if self._key else text


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises if it is not a number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EngineError(
            f"conf/runtime.yaml: endpoints: {url!r}: a base URL such as http://host:8000/v1 is needed"
        )
    return url.rstrip("/")


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > LONGEST_BODY:
            raise aiohttp.ClientPayloadError(f"a body of more than {LONGEST_BODY} bytes")
    return bytes(content)


def _seconds(retry_after: str | None) -> float:
    """Return a Retry-After header in seconds. A date, which is its other form, counts as absent, as any other text."""
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:
        return 0.0


def _completion(reply: _Reply, seconds: float) -> Completion:
    choice = reply.choices[0]
    made_on = {"served_model": reply.model, "system_fingerprint": reply.system_fingerprint}
    return Completion(
        text=choice.message.content or "",
        reasoning=choice.message.reasoning_content or choice.message.reasoning,
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        latency_seconds=round(seconds, 3),
        made_on={name: value for name, value in made_on.items() if value} or None,
    )
