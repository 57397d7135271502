"""A small folder with a manifest, such as stage package makes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.release.manifest import write_manifest

REPO = "tester/parallel_sums-tiny"
SHARD = "data/train-00000-of-00001.parquet"
CARD = """---
license: apache-2.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
dataset_info:
- config_name: default
  splits:
  - name: train
    num_bytes: 1
    num_examples: {rows}
---
# Sums
"""


def write_folder(folder: Path, rows: int) -> Path:
    """Write the folder, or write it anew with another number of rows."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    messages = [
        [{"role": "user", "content": f"{i} + {i}?"}, {"role": "assistant", "content": str(2 * i)}]
        for i in range(rows)
    ]
    ids = [f"{i:032x}" for i in range(rows)]
    pq.write_table(pa.table({"id": ids, "messages": messages}), folder / SHARD)
    (folder / "README.md").write_text(CARD.format(rows=rows))
    write_manifest(folder)
    return folder
