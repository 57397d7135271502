"""Runs the stages of a working copy, beside `stillhouse serve` where the profile has endpoints; reads the results."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse import layout
from stillhouse.params.load import load_teacher
from stillhouse.records import Query, Response, Verdict
from stillhouse.tables.read import read_table
from tools.rehearse.project import MODELS, Copy, RehearsalError

SERVER_SECONDS = 600.0  # until a server is ready; a busy CPU takes minutes
STOP_SECONDS = 60.0
POLL_SECONDS = 0.5
SHOWN_LINES = 12  # last lines of a log
KEY = (
    "rehearsal-no-secret"  # of the local servers, where the profile names a variable for an API key
)
COMMAND = [sys.executable, "-c", "from stillhouse.cli import main; main()"]


@dataclass(frozen=True)
class Result:
    """What one teacher's stages came to."""

    seconds: float
    generate: dict[str, Any]
    filter: dict[str, Any]
    asked: int
    parts: Counter[str]  # responses by the parts that they have: both, reasoning, answer, none
    verdicts: dict[str, Counter[str]]  # by category


def run_teacher(copy: Copy, teacher: str) -> Result:
    """Run all stages of a teacher up to `filter`; its server runs only for so long.

    Raises:
        RehearsalError: the server does not start, or a stage fails; the message has the end of its log.
    """
    started = time.monotonic()
    with served(copy, teacher):
        log = copy.folder / f"{teacher}.log"
        with log.open("wb") as out:
            done = subprocess.run(
                [sys.executable, "-m", "dvc", "repro", f"filter@{teacher}"],
                cwd=copy.folder,
                env=_environment(copy, *copy.teachers),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise RehearsalError(f"a stage failed; {_end_of(log)}")
    return _result(copy.folder, teacher, time.monotonic() - started)


@contextlib.contextmanager
def served(copy: Copy, teacher: str) -> Iterator[None]:
    """Serve the tiny model of a teacher or judge by `stillhouse serve`; do nothing if it runs in the stage's process.

    Raises:
        RehearsalError: the server does not start; the message has the end of its log.
    """
    port = copy.teachers[teacher].port
    if port is None:
        yield
        return
    log = copy.folder / f"serve_{teacher}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "serve", f"path:{MODELS / teacher}", "--port", str(port)],
            cwd=copy.folder,
            env=_environment(copy, teacher),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    started = time.monotonic()
    while "\nready:" not in log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None or time.monotonic() - started > SERVER_SECONDS:
            raise RehearsalError(f"`stillhouse serve` is not ready; {_end_of(log)}")
        time.sleep(POLL_SECONDS)


def _environment(copy: Copy, *teachers: str) -> dict[str, str]:
    """Return the environment: the copy's code and folders, no network, and keys for the local servers."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STILLHOUSE_")}
    own |= {"PYTHONPATH": str(copy.folder / "src"), "HF_HUB_OFFLINE": "1"}
    for teacher in teachers:
        variable = load_teacher(teacher, copy.folder).runtime.api_key_variable
        if variable is not None:
            own |= {variable: KEY, "VLLM_API_KEY": KEY}
    return own


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:])
    return f"its log, {log}, ends with:\n{last}"


def _result(folder: Path, teacher: str, seconds: float) -> Result:
    parts: Counter[str] = Counter()
    for response in read_table(folder / layout.attempts(teacher), Response):
        both = bool(response.think), bool(response.answer)
        parts[
            {(True, True): "both", (True, False): "reasoning", (False, True): "answer"}.get(
                both, "none"
            )
        ] += 1
    category = {q.id: q.category for q in read_table(folder / layout.CURATED_QUERIES, Query)}
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in read_table(folder / layout.verdicts(teacher), Verdict):
        verdicts[category[verdict.query_id]][verdict.state] += 1
    return Result(
        seconds=seconds,
        generate=_metrics(folder / layout.metrics("generate", teacher)),
        filter=_metrics(folder / layout.metrics("filter", teacher)),
        asked=_metrics(folder / layout.effort(teacher))["asked"],
        parts=parts,
        verdicts=dict(verdicts),
    )


def _metrics(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
