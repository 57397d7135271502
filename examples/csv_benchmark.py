"""A benchmark task: items of a CSV file with the columns `question` and `answer`.

In params.yaml:

    plugins: [examples.csv_benchmark, examples.regex_verifier]
    benchmark:
      tasks:
        - id: capitals
          kind: plugin
          plugin: csv
          config: {path: inputs/held_out.csv}
          count: 100
          samples: 4
          verifier: regex  # optional: the math rule grades where none is named
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from stillhouse.plugins import benchmark_task


@benchmark_task("csv")
def csv_items(path: str, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Yield one item per row. Queries that overlap an item are dropped by the queries stage."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=delimiter):
            yield {"prompt": row["question"], "answer": row["answer"]}
