"""A source adapter: queries of a CSV file.

In params.yaml:

    plugins: [examples.csv_source]
    queries:
      sources:
        - id: capitals
          kind: plugin
          category: science
          license: cc-by-4.0
          adapter: csv
          config: {path: inputs/capitals.csv, prompt: question, ground_truth: answer}
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from stillhouse.plugins import source_adapter


@source_adapter("csv")
def csv_rows(path: str, prompt: str, ground_truth: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file whose columns `prompt` and `ground_truth` have other names.

    Keep the file in inputs/: stages run again when a file there has changed.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {"prompt": row[prompt], "ground_truth": row[ground_truth]}
