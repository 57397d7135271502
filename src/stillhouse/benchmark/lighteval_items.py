"""Writes the items of lighteval's own tasks; runs inside lighteval's environment, started by lighteval_main.py."""

import json
from pathlib import Path
from typing import Any

from lighteval.tasks.lighteval_task import LightevalTask
from lighteval.tasks.requests import Doc

from stillhouse.benchmark.spec import RECORD, split_name
from stillhouse.benchmark.tasks import TASKS_TABLE


def write(path: Path) -> None:
    """Write one JSON line per item: task, id, prompt and references; or per task that fails: task, source and error."""
    with path.open("w", encoding="utf-8") as file:
        for config in TASKS_TABLE:
            _, task = split_name(config.name)
            # What a missing data set, another layout or a broken network raise differs by version, hence the width.
            try:
                rows = [_row(task, doc) for doc in LightevalTask(config).eval_docs()]
            except Exception as error:
                source = f"{config.hf_repo}@{config.hf_revision or 'main'}"
                rows = [
                    {"task": task, "source": source, "error": f"{type(error).__name__}: {error}"}
                ]
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _row(task: str, doc: Doc) -> dict[str, Any]:
    return {
        "task": task,
        "id": doc.specific[RECORD]["item_id"],
        "prompt": doc.specific[RECORD]["prompt"],
        "references": [gold for gold in doc.get_golds() if gold],
    }
