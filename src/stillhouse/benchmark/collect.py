"""The items of all benchmark tasks of a run, with their references, as the queries are compared with them.

lighteval's own tasks are read by lighteval, in its environment: only it knows where the items are and how they are
asked. Without such a task that environment is not touched.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stillhouse.benchmark.items import ItemsError, load_items
from stillhouse.benchmark.run import (
    MAIN,
    eval_python,
    log_end,
    process_environment,
    work_folder,
    write_spec,
)
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.records import BenchmarkItem, ground_truth_of

# A line of so many items of a task is its instruction, not its question; no query is compared with it.
FRAME_SHARE = 0.2
FRAME_ITEMS = 3


def collect(
    tasks: Collection[BenchmarkTask], seed: int, unchecked: Collection[str]
) -> list[BenchmarkItem]:
    """Return the items of all tasks but the unchecked.

    Args:
        tasks: the tasks of the run.
        seed: the run's seed.
        unchecked: ids of the tasks of lighteval's whose items are not read.

    Raises:
        ItemsError: the items of a task cannot be read, or it has none; the message names the remedy.
        BenchmarkError: lighteval's environment is missing, or lighteval failed.
    """
    found = [
        _item(task, i.id, i.prompt, i.answer) for task in tasks for i in load_items(task, seed)
    ]
    theirs = [task for task in tasks if task.kind == "lighteval" and task.id not in unchecked]
    if theirs:
        found += _items_of(_read_by_lighteval(theirs), theirs)
    return found


def _item(task: BenchmarkTask, item_id: str, prompt: str, reference: str | None) -> BenchmarkItem:
    return BenchmarkItem(
        id=f"{task.id}/{item_id}",
        task=task.id,
        item_id=item_id,
        prompt=prompt,
        reference=reference,
    )


def _read_by_lighteval(tasks: list[BenchmarkTask]) -> list[dict[str, Any]]:
    """Return what `lighteval_items` writes."""
    with work_folder() as folder:
        work = Path(folder)
        out, log = work / "items.jsonl", work / "lighteval.log"
        spec = write_spec(work, tasks, {}, address="")
        command = [str(eval_python()), "-P", str(MAIN), "--write-items", str(out)]
        with log.open("wb") as file:
            done = subprocess.run(
                command,
                env=process_environment(tasks, spec, work),
                stdout=file,
                stderr=file,
                check=False,
            )
        if done.returncode != 0:
            raise ItemsError(
                f"the items of lighteval's tasks cannot be read: lighteval ended with code {done.returncode}; "
                f"the end of its log:\n{log_end(log)}"
            )
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _items_of(rows: list[dict[str, Any]], tasks: list[BenchmarkTask]) -> list[BenchmarkItem]:
    items: list[BenchmarkItem] = []
    for task in tasks:
        own = [row for row in rows if row["task"] == task.id]
        for row in own:
            if "error" in row:
                raise ItemsError(
                    f"benchmark task {task.id!r}: lighteval cannot read its items from {row['source']} "
                    f"({row['error']}); check the network, HF_TOKEN and `revision`. To run without them, name the "
                    "task in queries.decontaminate.allow_unchecked: no query is compared with it, and the card says so"
                )
        if not own:
            raise ItemsError(
                f"benchmark task {task.id!r}: lighteval's task {task.task!r} has no items; check `task` and `count`"
            )
        prompts = _without_frame([row["prompt"] for row in own])
        items += [
            _item(
                task,
                row["id"],
                prompt,
                ground_truth_of(row["references"]) if row["references"] else None,
            )
            for row, prompt in zip(own, prompts, strict=True)
        ]
    return items


def _without_frame(prompts: list[str]) -> list[str]:
    """Return the prompts without the lines that many of them have; one that has no other line is left whole."""
    lines = Counter(line for prompt in prompts for line in set(prompt.splitlines()))
    most = max(FRAME_ITEMS, FRAME_SHARE * len(prompts))
    rests = (
        "\n".join(line for line in prompt.splitlines() if lines[line] < most) for prompt in prompts
    )
    return [rest.strip() or prompt.strip() for rest, prompt in zip(rests, prompts, strict=True)]
