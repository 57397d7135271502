"""One row of a released configuration as text for its card."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CHARS = 300  # of each text
ITEMS = 4  # of each list


def example_row(shards: list[Path]) -> str | None:
    """Return the first row as indented JSON, without what is empty and with long texts and lists cut; None without one.

    Line ends are escaped in JSON, so that no text of the row can end the code block that it is shown in.
    """
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches(batch_size=1):
            return json.dumps(_short(batch.to_pylist()[0]), ensure_ascii=False, indent=2)
    return None


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items() if part not in (None, "", [], {})}
    if isinstance(value, list):
        more = [f"[and {len(value) - ITEMS} more]"] if len(value) > ITEMS else []
        return [_short(part) for part in value[:ITEMS]] + more
    if isinstance(value, str) and len(value) > CHARS:
        return f"{value[: CHARS // 2]} [...] {value[-CHARS // 2 :]}"
    return value
