"""Serves answers to the lighteval process over HTTP on 127.0.0.1, condition by condition.

What will be asked about our own tasks is known beforehand, so the engine begins while lighteval is still importing.
Answers to our own tasks are graded here, and lighteval gets the marks with them; answers to its own tasks are split
here, and its scorer gets the answer part. A condition is one model, such as a student with other weights. lighteval
asks for the next one when it has all answers of the one before, so that one model at a time is in memory.
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol

import msgspec

from stillhouse.benchmark.grade import Marks, answer_part
from stillhouse.benchmark.items import Item
from stillhouse.errors import StillhouseError
from stillhouse.hashing import seed_of
from stillhouse.models.engine import Completion, Request
from stillhouse.records import Message


class BenchmarkError(StillhouseError):
    """The benchmark cannot run; the message says what is missing, or how lighteval ended."""


class Completes(Protocol):
    """What answers requests: an engine, or one with the journal in front."""

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request."""
        ...


class Grades(Protocol):
    """What grades answers to items of ours."""

    async def grade(self, item: Item, completion: Completion) -> Marks:
        """Return what a completion scores."""
        ...


class Prepared(NamedTuple):
    """A question that lighteval will ask, `samples` times; `prompt` is the user turn."""

    task: str
    item_id: str
    samples: int
    prompt: str


class _Answer(NamedTuple):
    """One answer; `marks` is null where lighteval's own scorer is to score it."""

    completion: Completion
    marks: Marks | None


class _Key(NamedTuple):
    task: str
    item_id: str
    sample: int


def sample_seed(task: str, item_id: str, sample: int, run_seed: int) -> int:
    """Return the seed of one sample: 63 bits of a hash, so that adding an item or a task shifts no other."""
    return seed_of(json.dumps([task, item_id, sample, run_seed]))


class Answers:
    """The answers of one run: each asked for once, as many at a time as keep the engine busy.

    Args:
        models: answer the requests, one of each condition.
        prepared: the questions on our own tasks; they are asked without waiting for lighteval.
        grader: grades the answers to `items`.
        items: the items of our own tasks by task and id.
        concurrency: how many requests a model gets at once.
        run_seed: of the run; each sample's seed is derived from it.
    """

    def __init__(
        self,
        models: Sequence[Completes],
        prepared: Sequence[Prepared],
        grader: Grades,
        items: Mapping[tuple[str, str], Item],
        concurrency: int,
        run_seed: int,
    ) -> None:
        self._models = models
        self._prepared = prepared
        self._grader = grader
        self._items = items
        self._run_seed = run_seed
        self._free = asyncio.Semaphore(concurrency)
        self._condition = -1
        self._asked: dict[_Key, tuple[list[Message], asyncio.Task[_Answer]]] = {}
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._begin(0)

    def _begin(self, condition: int) -> None:
        """Ask a condition's model the prepared questions; the answers of the condition before are forgotten."""
        self._condition = condition
        self._asked = {}
        for one in self._prepared:
            message = Message(role="user", content=one.prompt)
            for sample in range(one.samples):
                self._start(_Key(one.task, one.item_id, sample), [message])

    def _start(self, key: _Key, messages: list[Message]) -> "asyncio.Task[_Answer]":
        """Begin an answer, or return the one begun before.

        Raises:
            BenchmarkError: it was begun with another prompt.
        """
        if key not in self._asked:
            answer = asyncio.create_task(self._answer(self._models[self._condition], key, messages))
            self._asked[key] = messages, answer
        known, answer = self._asked[key]
        if known != messages:
            raise BenchmarkError(
                f"benchmark task {key.task}, item {key.item_id}: lighteval asks with another prompt than was prepared"
            )
        return answer

    async def of(self, condition: int, wanted: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Return the answers to all that lighteval wants of a condition, samples grouped by item.

        Raises:
            BenchmarkError: it asks for conditions in another order, or with another prompt than was prepared.
        """
        if condition == self._condition + 1:
            self._begin(condition)
        if condition != self._condition:
            raise BenchmarkError(
                f"lighteval asks for condition {condition} after condition {self._condition}"
            )
        started = [
            [
                self._start(
                    _Key(one["task"], one["item_id"], sample),
                    msgspec.convert(one["messages"], list[Message]),
                )
                for sample in range(one["samples"])
            ]
            for one in wanted
        ]
        return [[_reply(await answer) for answer in row] for row in started]

    async def failure(self) -> BaseException:
        """Wait until an answer fails, and return why."""
        return await asyncio.shield(self._failure)

    def fail(self, error: BaseException) -> None:
        """Let the run end with this error."""
        if not self._failure.done():
            self._failure.set_result(error)

    async def cancel(self) -> None:
        """Stop what is not finished."""
        open_tasks = [answer for _, answer in self._asked.values()]
        for answer in open_tasks:
            answer.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)

    async def _answer(self, model: Completes, key: _Key, messages: list[Message]) -> _Answer:
        seed = sample_seed(*key, self._run_seed)
        request = Request(messages=messages, seed=seed, query_id=key.item_id, attempt=key.sample)
        item = self._items.get((key.task, key.item_id))
        try:
            async with self._free:
                completion = await model.complete(request)
            marks = None if item is None else await self._grader.grade(item, completion)
        except Exception as error:
            self.fail(error)
            raise
        return _Answer(completion, marks)


def _reply(answer: _Answer) -> dict[str, Any]:
    """Return an answer as lighteval_model.py takes it."""
    completion, marks = answer
    return {
        "text": completion.text,
        "answer": answer_part(completion),
        "finish_reason": completion.finish_reason,
        "completion_tokens": completion.completion_tokens,
        "marks": None if marks is None else marks._asdict(),
    }


class Server(NamedTuple):
    """A running server; lighteval posts what it wants to `address`."""

    address: str
    http: ThreadingHTTPServer

    def close(self) -> None:
        """Stop it."""
        self.http.shutdown()
        self.http.server_close()


def serve(answers: Answers, loop: asyncio.AbstractEventLoop) -> Server:
    """Start to serve answers, in a thread of its own."""
    secret = f"/{secrets.token_urlsafe(16)}"  # other users of the machine can reach the port too

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != secret:
                self.send_error(404)
                return
            future = asyncio.run_coroutine_threadsafe(answers.of(**asked), loop)
            try:
                body = json.dumps(future.result()).encode()
            except asyncio.CancelledError:
                return  # the run is over: nobody waits for this reply
            except Exception as error:
                loop.call_soon_threadsafe(answers.fail, error)
                self.send_error(500)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.block_on_close = False
    threading.Thread(target=http.serve_forever, name="benchmark", daemon=True).start()
    return Server(f"http://127.0.0.1:{http.server_port}{secret}", http)
