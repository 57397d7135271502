"""The messages between run.py and the lighteval process. Standard library only: it is read in both environments."""

SPEC_VARIABLE = "STILLHOUSE_BENCHMARK_SPEC"  # path of the JSON file that says which tasks to run and where to ask
# The metrics that lighteval aggregates: means over items of the mean score of their samples.
STRICT, LENIENT = "pass_at_1_strict", "pass_at_1_lenient"
RECORD = "stillhouse"  # key of our entry in a lighteval document's `specific`
PREFIX = "stillhouse_"  # of task names inside lighteval, which refuses the name of a built-in task such as `gsm8k`


def task_name(condition: int, task: str) -> str:
    """Return the name of a task inside lighteval: each condition asks the tasks under names of its own."""
    return f"{PREFIX}{condition}_{task}"


def split_name(name: str) -> tuple[int, str]:
    """Return the number of the condition and the id of the task; `name` may end in `|0`, lighteval's few-shot count."""
    condition, _, task = name.partition("|")[0].removeprefix(PREFIX).partition("_")
    return int(condition), task
