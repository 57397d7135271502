"""A small folder with a manifest, such as stage package makes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.package.manifest import write_manifest

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


PARTS = [f"data/part-{number}.bin" for number in range(4)]


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


def write_many_files(folder: Path, version: int) -> Path:
    """Write a folder of eight files; of the second version five differ, one is new and one is gone."""
    write_folder(folder, 20 + version)
    for name in PARTS[:2]:
        (folder / name).write_bytes(f"{name} of version {version}".encode() * 100)
    for name in PARTS[2:]:
        (folder / name).write_bytes(name.encode() * 100)
    (folder / f"notes-{version}.txt").write_text(f"Version {version}\n")
    (folder / f"notes-{version - 1}.txt").unlink(missing_ok=True)
    write_manifest(folder)
    return folder


def write_two_configs(folder: Path, rows: int) -> Path:
    """Write a folder with a second config, `sums`, beside the default one."""
    write_folder(folder, rows)
    (folder / "sums").mkdir(exist_ok=True)
    ids = [f"{i:032x}" for i in range(rows)]
    sums = pa.table({"id": ids, "sum": [2 * i for i in range(rows)]})
    pq.write_table(sums, folder / "sums/train-00000-of-00001.parquet")
    default, second = "    path: data/train-*.parquet\n", "    path: sums/train-*.parquet\n"
    config = f"{default}- config_name: sums\n  data_files:\n  - split: train\n{second}"
    (folder / "README.md").write_text(CARD.format(rows=rows).replace(default, config))
    write_manifest(folder)
    return folder
