"""The items and references of all benchmark tasks, which no query may repeat."""

from collections import Counter

from stillhouse import layout
from stillhouse.benchmark.collect import collect
from stillhouse.files import write_json
from stillhouse.params.base import Id
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.stage import load_stage
from stillhouse.records import BenchmarkItem
from stillhouse.stage import stage_command
from stillhouse.tables.write import write_table


@stage_command
def main() -> None:
    """Write data/benchmark_items."""
    params = load_stage()
    tasks = params.read(list[BenchmarkTask], "benchmark.tasks")
    unchecked = params.read(list[Id], "queries.decontaminate.allow_unchecked")
    items = collect(tasks, params.read(int, "run.seed"), unchecked)
    write_table(layout.BENCHMARK_ITEMS, BenchmarkItem, items)
    counts = Counter(item.task for item in items)
    write_json(layout.metrics("benchmark_items"), {task.id: counts[task.id] for task in tasks})


if __name__ == "__main__":
    main()
