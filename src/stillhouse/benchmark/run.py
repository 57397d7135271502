"""Runs all benchmark tasks of one student family: lighteval in a process of its own, the answers from this one.

lighteval cannot share an environment with our verifiers, and its own vLLM backend refuses current versions of vLLM.
So this process serves answers on 127.0.0.1 (`served`) and starts lighteval once for all tasks of all conditions, since
a start costs seconds.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.benchmark.items import Item
from stillhouse.benchmark.served import Answers, BenchmarkError, Completes, Grades, Prepared, serve
from stillhouse.benchmark.spec import SPEC_VARIABLE, task_name
from stillhouse.params.benchmark import BenchmarkTask

ENVIRONMENT_VARIABLE = "STILLHOUSE_EVAL_PYTHON"
MODEL_NAME = "student"  # relative and short: lighteval makes folders of it
_HERE = Path(__file__).parent
MAIN = _HERE / "lighteval_main.py"


def prompt_text(item: Item, task: BenchmarkTask) -> str:
    """Return the user turn of an item: its prompt, then the task's instruction."""
    return item.prompt + (f"\n\n{task.instruction}" if task.instruction else "")


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
    models: Sequence[Completes],
    grader: Grades,
    concurrency: int,
    run_seed: int,
    work: Path,
) -> Path:
    """Run all tasks with each model in one lighteval process; return its output folder (`results/`, `details/`).

    Args:
        tasks: what to run.
        items: the items of each task by its id; lighteval has those of its own tasks.
        models: answer the requests: one of each condition, asked one after the other.
        grader: grades the answers to `items`.
        concurrency: how many requests a model gets at once.
        run_seed: of the run; each sample's seed is derived from it, and is the same for every model.
        work: an empty folder for the files that go to and come from lighteval.

    Raises:
        BenchmarkError: the environment is missing, or lighteval failed.
        EngineError: the engine failed.
        GradingError: an answer could not be graded.
    """
    python = eval_python()
    known = {(task, item.id): item for task, own in items.items() for item in own}
    prepared = [
        Prepared(task.id, item.id, task.samples, prompt_text(item, task))
        for task in tasks
        for item in items.get(task.id, ())
    ]
    answers = Answers(models, prepared, grader, known, concurrency, run_seed)
    server = serve(answers, asyncio.get_running_loop())
    try:
        spec = write_spec(work, tasks, items, server.address, conditions=len(models))
        await _start_lighteval(python, tasks, len(models), spec, work, answers)
    finally:
        server.close()
        await answers.cancel()
    return work / "output"


async def _start_lighteval(
    python: Path,
    tasks: list[BenchmarkTask],
    conditions: int,
    spec: Path,
    work: Path,
    answers: Answers,
) -> None:
    names = [f"{task_name(i, task.id)}|0" for i in range(conditions) for task in tasks]
    command = [
        *("-P", str(MAIN), "custom", MODEL_NAME),
        *(str(_HERE / "lighteval_model.py"), ",".join(names)),
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
    work: Path,
    tasks: list[BenchmarkTask],
    items: Mapping[str, list[Item]],
    address: str,
    conditions: int = 1,
) -> Path:
    """Write the file that tells the lighteval process its tasks, with the files of our items; return its path.

    Args:
        work: the folder of the files.
        tasks: the tasks.
        items: the items of our own tasks by the id of the task.
        address: where lighteval asks for answers; "" where it asks for none.
        conditions: how many models answer, each all tasks.
    """
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
    spec = {
        "tasks": entries,
        "conditions": conditions,
        "address": address,
        "cache": str(work / "cache"),
    }
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path.absolute()


def work_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a fresh folder for one run: answers that lighteval keeps must not outlive the weights that gave them."""
    return tempfile.TemporaryDirectory(prefix="stillhouse-benchmark-")
