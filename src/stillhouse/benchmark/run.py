"""Runs all benchmark tasks of one student: lighteval in a process of its own, the answers from an engine in this one.

lighteval cannot share an environment with our verifiers, and its own vLLM backend refuses current versions of vLLM.
So this process serves answers on 127.0.0.1 and starts lighteval once for all tasks (a start costs seconds). What will
be asked about our own tasks is known beforehand, so the engine begins while lighteval is still importing. Answers to
our own tasks are graded here, and lighteval gets the marks with them; answers to its own tasks are split here, and its
scorer gets the answer part.
"""

import asyncio
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from stillhouse.benchmark.grade import Marks, answer_part
from stillhouse.benchmark.items import Item
from stillhouse.benchmark.spec import PREFIX, SPEC_VARIABLE
from stillhouse.errors import StillhouseError
from stillhouse.hashing import seed_of
from stillhouse.models.engine import Completion, Request
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.records import Message

ENVIRONMENT_VARIABLE = "STILLHOUSE_EVAL_PYTHON"
MODEL_NAME = "student"  # relative and short: lighteval makes folders of it
_HERE = Path(__file__).parent
MAIN = _HERE / "lighteval_main.py"


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


class _Answer(NamedTuple):
    """One answer; `marks` is null where lighteval's own scorer is to score it."""

    completion: Completion
    marks: Marks | None


class _Key(NamedTuple):
    task: str
    item_id: str
    sample: int


def prompt_text(item: Item, task: BenchmarkTask) -> str:
    """Return the user turn of an item: its prompt, then the task's instruction."""
    return item.prompt + (f"\n\n{task.instruction}" if task.instruction else "")


def sample_seed(task: str, item_id: str, sample: int, run_seed: int) -> int:
    """Return the seed of one sample: 63 bits of a hash, so that adding an item or a task shifts no other."""
    return seed_of(json.dumps([task, item_id, sample, run_seed]))


def eval_python() -> Path:
    """Return the Python of lighteval's environment.

    Raises:
        BenchmarkError: it is not there.
    """
    path = Path(os.environ.get(ENVIRONMENT_VARIABLE, ".venv-eval/bin/python"))
    if not path.is_file():
        raise BenchmarkError(
            f"{path}: no lighteval environment here; run `make env`, or name its Python in {ENVIRONMENT_VARIABLE}"
        )
    return path


async def run_lighteval(
    tasks: list[BenchmarkTask],
    items: Mapping[str, list[Item]],
    model: Completes,
    grader: Grades,
    concurrency: int,
    run_seed: int,
    work: Path,
) -> Path:
    """Run all tasks in one lighteval process and return its output folder (`results/` and `details/`).

    Args:
        tasks: what to run.
        items: the items of each task by its id; lighteval has those of its own tasks.
        model: answers the requests.
        grader: grades the answers to `items`.
        concurrency: how many requests the model gets at once.
        run_seed: of the run; each sample's seed is derived from it.
        work: an empty folder for the files that go to and come from lighteval.

    Raises:
        BenchmarkError: the environment is missing, or lighteval failed.
        EngineError: the engine failed.
        GradingError: an answer could not be graded.
    """
    python = eval_python()
    known = {(task, item.id): item for task, own in items.items() for item in own}
    answers = _Answers(model, grader, known, concurrency, run_seed)
    for task in tasks:
        for item in items.get(task.id, ()):
            message = Message(role="user", content=prompt_text(item, task))
            for sample in range(task.samples):
                answers.start(_Key(task.id, item.id, sample), [message])
    server = _serve(answers, asyncio.get_running_loop())
    try:
        spec = write_spec(work, tasks, items, server.address)
        await _start_lighteval(python, tasks, spec, work, answers)
    finally:
        server.close()
        await answers.cancel()
    return work / "output"


async def _start_lighteval(
    python: Path, tasks: list[BenchmarkTask], spec: Path, work: Path, answers: "_Answers"
) -> None:
    command = [
        *("-P", str(MAIN), "custom", MODEL_NAME),
        *(str(_HERE / "lighteval_model.py"), ",".join(f"{PREFIX}{task.id}|0" for task in tasks)),
        *("--custom-tasks", str(_HERE / "tasks.py"), "--output-dir", str(work / "output")),
        *("--save-details", "--no-remove-reasoning-tags"),
    ]
    log = work / "lighteval.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            str(python),
            *command,
            env=process_environment(tasks, spec, work),
            stdout=file,
            stderr=file,
        )
        ended = asyncio.create_task(process.wait())
        failed = asyncio.create_task(answers.failure())
        try:
            await asyncio.wait([ended, failed], return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise failed.result()
        finally:
            failed.cancel()
            if process.returncode is None:
                process.kill()
            await ended
    if process.returncode != 0:
        raise BenchmarkError(
            f"lighteval ended with code {process.returncode}; the end of its log:\n{log_end(log)}"
        )


def log_end(log: Path) -> str:
    """Return the last lines of lighteval's log."""
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return "\n".join(lines[-15:])


def process_environment(tasks: list[BenchmarkTask], spec: Path, work: Path) -> dict[str, str]:
    """Return lighteval's environment: nothing of our own Python, and no network unless a task's items need it."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment[SPEC_VARIABLE] = str(spec)
    environment["HF_DATASETS_CACHE"] = str(work / "datasets")
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import waits for a download
    environment["TOKENIZERS_PARALLELISM"] = "false"
    if all(task.kind != "lighteval" for task in tasks):
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def write_spec(
    work: Path, tasks: list[BenchmarkTask], items: Mapping[str, list[Item]], address: str
) -> Path:
    """Write the file that tells the lighteval process its tasks, with the files of our items; return its path."""
    entries: list[dict[str, Any]] = []
    for task in tasks:
        entry: dict[str, Any] = {
            "id": task.id,
            "kind": task.kind,
            "samples": task.samples,
            "count": task.count,
            "task": task.task,
            "revision": task.revision,
            "by_item": task.asks_by_item,
            "instruction": f"\n\n{task.instruction}" if task.instruction else "",
        }
        if task.kind != "lighteval":
            folder = work / "items" / task.id
            folder.mkdir(parents=True)
            # One column of JSON text: Arrow's reader would turn a column of dates or numbers into something else.
            lines = [
                {"id": item.id, "query": prompt_text(item, task), "answer": item.answer}
                for item in items[task.id]
            ]
            text = "".join(json.dumps({"item": json.dumps(line)}) + "\n" for line in lines)
            (folder / "test.jsonl").write_text(text, encoding="utf-8")
            entry["folder"] = str(folder.absolute())
        entries.append(entry)
    path = work / "spec.json"
    spec = {"tasks": entries, "address": address, "cache": str(work / "cache")}
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path.absolute()


class _Answers:
    """The answers of one run: each asked for once, as many at a time as keep the engine busy."""

    def __init__(
        self,
        model: Completes,
        grader: Grades,
        items: Mapping[tuple[str, str], Item],
        concurrency: int,
        run_seed: int,
    ) -> None:
        self._model = model
        self._grader = grader
        self._items = items
        self._run_seed = run_seed
        self._free = asyncio.Semaphore(concurrency)
        self._asked: dict[_Key, tuple[list[Message], asyncio.Task[_Answer]]] = {}
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, key: _Key, messages: list[Message]) -> "asyncio.Task[_Answer]":
        """Begin an answer, or return the one begun before.

        Raises:
            BenchmarkError: it was begun with another prompt.
        """
        if key not in self._asked:
            self._asked[key] = (messages, asyncio.create_task(self._answer(key, messages)))
        known, answer = self._asked[key]
        if known != messages:
            raise BenchmarkError(
                f"benchmark task {key.task}, item {key.item_id}: lighteval asks with another prompt than was prepared"
            )
        return answer

    async def of(self, wanted: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Return the answers to what lighteval wants, samples grouped by item."""
        started = [
            [
                self.start(
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

    async def _answer(self, key: _Key, messages: list[Message]) -> _Answer:
        seed = sample_seed(*key, self._run_seed)
        request = Request(messages=messages, seed=seed, query_id=key.item_id, attempt=key.sample)
        item = self._items.get((key.task, key.item_id))
        try:
            async with self._free:
                completion = await self._model.complete(request)
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


class _Server(NamedTuple):
    address: str
    http: ThreadingHTTPServer

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def _serve(answers: _Answers, loop: asyncio.AbstractEventLoop) -> _Server:
    secret = f"/{secrets.token_urlsafe(16)}"  # other users of the machine can reach the port too

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != secret:
                self.send_error(404)
                return
            future = asyncio.run_coroutine_threadsafe(answers.of(wanted), loop)
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
    return _Server(f"http://127.0.0.1:{http.server_port}{secret}", http)


def work_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a fresh folder for one run: answers that lighteval keeps must not outlive the weights that gave them."""
    return tempfile.TemporaryDirectory(prefix="stillhouse-benchmark-")
