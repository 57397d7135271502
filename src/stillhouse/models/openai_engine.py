"""Requests completions from OpenAI-compatible chat endpoints: the user's vLLM servers, or hosted APIs.

models/endpoints.py selects the endpoint of a request and limits the requests in flight; models/chat_reply.py reads the
replies. Transient failures (408, 429, 499, 5xx, a lost connection, a body that is not a completion, an aborted answer)
are retried with exponential back-off and jitter; after `TRIES` of them only this request has no answer
(UnansweredError). A refusal of one request (400, 413, 422) is raised at once as RefusedError, anything else (a wrong
key, an unknown model) as EngineError. Endpoints do not determine the answers, so they are not part of the fingerprint.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import msgspec

from stillhouse.models.api_key import Secrets, read_key
from stillhouse.models.chat_reply import ABORTED, NO_CHAT, ReplyError, read_reply
from stillhouse.models.endpoints import Endpoint, Endpoints, retry_after
from stillhouse.models.engine import (
    Completion,
    EngineError,
    RefusedError,
    Request,
    UnansweredError,
)
from stillhouse.models.key_names import request_facts, sampling_facts
from stillhouse.models.reply_checks import ReplyChecks
from stillhouse.params.base import PLACEHOLDER
from stillhouse.params.request import RequestOptions
from stillhouse.params.teacher import Sampling, TeacherRuntime

TRIES = 8  # failed tries of a request; a minute at most with the waits below, if the endpoint does not rest
# A request that only gets 429 is tried for so long: limits are per minute, and are no fault of the query.
RATE_LIMIT_SECONDS = 600.0
# Upper bound of the first wait. The bound doubles with each try, and the wait is uniform below it ("full jitter").
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
CONNECT_SECONDS = 8.0  # name resolution, TCP and TLS; a lost SYN is sent again after 1, 3 and 7 s
LONGEST_BODY = 64 << 20  # bytes; a million tokens as JSON take a tenth of it
# 499 is nginx's, for a request that it gave up; 529 is Anthropic's, for an overload.
OVERLOADED_STATUS = frozenset({408, 429, 499, 503, 529})
TRANSIENT_STATUS = OVERLOADED_STATUS | {409, 425}
PERMANENT_5XX = frozenset({501, 505})  # not implemented, HTTP version
REFUSED_STATUS = frozenset({400, 413, 422})
WRONG_ADDRESS = "; if it stays, `endpoints` in conf/runtime.yaml may not be the base URL of a chat API, ending in /v1"


class _TransientError(Exception):
    """A failure that may not occur in another try. `kind` names it for counts; `remedy` helps where it stays."""

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy


class _UnreachableError(Exception):
    """The request never reached the endpoint; it does not count as a try."""


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
        options: RequestOptions | None = None,
    ) -> None:
        """Check the endpoints and read the API key; no request is sent.

        Args:
            model: The name of the model at the endpoints.
            revision: The revision of the model, part of the fingerprint.
            sampling: The sampling parameters.
            runtime: The endpoints (base URLs that end in /v1), their limits, and the variable with the API key.
            system_prompt: A system message that is put before each conversation.
            options: Further fields and headers of the requests.

        Raises:
            EngineError: there is no endpoint, or the key's environment variable is not set or has no usable key.
        """
        if not runtime.endpoints or PLACEHOLDER in runtime.endpoints:
            raise EngineError(
                f"model {model}: engine openai needs `endpoints` in conf/runtime.yaml (base URLs ending in /v1)"
            )
        try:
            self._key = read_key(runtime.api_key_variable)
        except EngineError as error:
            raise EngineError(f"model {model}: {error}") from None
        self._secrets = Secrets(self._key)
        urls = list(dict.fromkeys(url.rstrip("/") for url in runtime.endpoints))
        self.concurrency = runtime.in_flight_per_endpoint * len(urls)
        self.fingerprint: dict[str, Any] = {
            "engine": "openai",
            "model": model,
            "revision": revision,
            "system_prompt": system_prompt,
            "sampling": sampling_facts(sampling),
            **request_facts(options),
        }
        self.failed_tries: Counter[str] = Counter()
        self._model = model
        self._system_prompt = system_prompt
        self._sampling = sampling
        self._options = options or RequestOptions()
        self._endpoints = Endpoints(urls, runtime.in_flight_per_endpoint)
        self._request_seconds = runtime.request_seconds
        self._session: aiohttp.ClientSession | None = None
        self._checks = ReplyChecks(model, has_budget=runtime.budget is not None)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the endpoints that are out of use; null if all are in use."""
        return self._endpoints.trouble

    def render(self, request: Request) -> str:
        """Return the conversation as JSON: the endpoint applies the chat template."""
        return json.dumps(self._messages(request), ensure_ascii=False)

    async def complete(self, request: Request) -> Completion:
        """Return the completion.

        Raises:
            RefusedError: the endpoint refuses this request (for example a prompt longer than the context).
            UnansweredError: all tries of this request failed.
            EngineError: the endpoint refuses every request, no endpoint can be reached, or the answers do not say
                whether they are complete.
        """
        try:
            body = msgspec.json.encode(self._body(request))
        except UnicodeEncodeError:
            raise RefusedError(
                f"query {request.query_id}: a message has half of a surrogate pair, which no request can hold",
                "surrogate",
            ) from None
        failures: Counter[str] = Counter()
        wait, started = FIRST_WAIT_SECONDS, time.monotonic()
        for tries in itertools.count(1):
            try:
                return await self._try(body, failures)
            except _TransientError as error:
                self.failed_tries[error.kind] += 1
                self._checks.tell(error.kind, f"{error}; it is tried again{error.remedy}")
                limited = error.kind == "HTTP 429"
                patient = limited and time.monotonic() - started < RATE_LIMIT_SECONDS
                if tries >= TRIES and not patient:
                    raise UnansweredError(
                        f"model {self._model}: no answer after {tries} tries: {error}", error.kind
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
        sampling, options = self._sampling, self._options
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self._messages(request),
            "seed": request.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            options.max_tokens_field: request.max_tokens or sampling.max_tokens,
        }
        # Extensions of vLLM are sent only if they are set: hosted APIs refuse unknown keys.
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        if options.chat_template_kwargs:
            body["chat_template_kwargs"] = options.chat_template_kwargs
        if options.reasoning_effort is not None:
            body["reasoning_effort"] = options.reasoning_effort
        body |= options.extra_body
        return {name: value for name, value in body.items() if value is not None}

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
                if news := endpoint.news():
                    self._checks.say(news)

    async def _ask(self, endpoint: Endpoint, body: bytes) -> Completion:
        asked_at = time.monotonic()
        try:
            async with self._open_session().post(
                f"{endpoint.url}/chat/completions", data=body, allow_redirects=False
            ) as reply:
                content = self._secrets.hide_whole(await _read(reply))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            why = f"cannot be reached: {self._secrets.shown(str(error))}"
            endpoint.unreachable(asked_at, why)
            raise _UnreachableError(why) from None
        except TimeoutError:
            endpoint.overloaded(asked_at)
            why = f"no response for {time.monotonic() - asked_at:.0f} s"
            raise self._failed(endpoint, asked_at, "no response", why) from None
        except (aiohttp.ClientError, OSError) as error:
            why = f"{type(error).__name__} {self._secrets.shown(str(error))}"
            raise self._failed(endpoint, asked_at, "connection lost", why) from None
        words = self._secrets.shown
        if not 200 <= reply.status < 300:
            raise self._refused(endpoint, asked_at, reply.status, reply.headers, words(content))
        try:
            answer = read_reply(content)
        except ReplyError as error:
            if error.status is not None:
                raise self._refused(
                    endpoint, asked_at, error.status, reply.headers, words(content)
                ) from None
            why = f"{error.kind}: {words(content)}"
            failure = self._failed(endpoint, asked_at, error.kind, why)
            failure.remedy = WRONG_ADDRESS if error.kind in NO_CHAT else ""
            raise failure from None
        if answer.finish in ABORTED:
            why = f"the server ended the answer with finish_reason {answer.finish}"
            raise self._failed(endpoint, asked_at, f"finish_reason {answer.finish}", why)
        endpoint.answered()
        return self._checks.completion(endpoint.url, answer, time.monotonic() - asked_at)

    def _failed(self, endpoint: Endpoint, asked_at: float, kind: str, why: str) -> _TransientError:
        endpoint.faulty(asked_at, why)
        return _TransientError(kind, f"{endpoint.url}: {why}")

    def _refused(
        self,
        endpoint: Endpoint,
        asked_at: float,
        status: int,
        headers: Mapping[str, str],
        words: str,
    ) -> Exception:
        """Return the error of a status, and record what it says of the endpoint.

        Args:
            endpoint: The endpoint.
            asked_at: When the request was sent.
            status: The status of the reply, or of the error in its body.
            headers: The headers of the reply.
            words: The start of its body.
        """
        kind = f"HTTP {status}"
        why = f"{kind}: {words}" if words else kind
        if status in OVERLOADED_STATUS:
            endpoint.overloaded(asked_at, retry_after(headers))
        if status == 429:
            return _TransientError(kind, f"{endpoint.url}: {why}")
        if status in TRANSIENT_STATUS or (status >= 500 and status not in PERMANENT_5XX):
            return self._failed(endpoint, asked_at, kind, why)
        if 300 <= status < 400:
            return EngineError(f"{endpoint.url}: {kind}: {self._redirected(headers)}")
        if status in REFUSED_STATUS:
            return RefusedError(f"{endpoint.url}: {why}", kind)
        return EngineError(f"{endpoint.url}: {why}")

    def _redirected(self, headers: Mapping[str, str]) -> str:
        try:
            to = urlsplit(headers.get("Location", ""))
            host = f"{to.hostname}:{to.port}" if to.port else to.hostname
        except ValueError:
            host = None
        if not host:
            return (
                "it redirects, and does not say where to; correct `endpoints` in conf/runtime.yaml"
            )
        url = f"{to.scheme}://{host}{to.path.removesuffix('/chat/completions')}"
        return f"it redirects to {self._secrets.shown(url)}; set this as `endpoints` in conf/runtime.yaml"

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json", **self._options.headers}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._request_seconds, connect=CONNECT_SECONDS),
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=bool(
                    getproxies()
                ),  # costs a thread call per request, so only if a proxy is set
            )
        return self._session


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > LONGEST_BODY:
            raise aiohttp.ClientPayloadError(f"a body of more than {LONGEST_BODY} bytes")
    return bytes(content)
