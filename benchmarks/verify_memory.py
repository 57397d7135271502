"""Memory of grading: the peak of `stillhouse verify check` over many answers against that over few.

One answer in fifty is parsed; the others are written as their reference is, since parsing all would take half an hour.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _answers import math
from _result import write_result

GOAL = 0.9
FEW = 10_000
PARSED_EVERY = 50
# The peak of this process and of each worker that it had, in KiB.
CHILD = """
import resource, sys
from click.testing import CliRunner
from stillhouse.cli import main
done = CliRunner().invoke(main, ["verify", "check", sys.argv[1], "--out", sys.argv[2]])
assert done.exit_code == 0, done.output
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    many = parser.parse_args().answers
    few_mb, many_mb = peak_mb(FEW), peak_mb(many)
    write_result(
        "verify_memory",
        few_mb / many_mb,
        GOAL,
        few=FEW,
        many=many,
        few_peak_mb=round(few_mb),
        many_peak_mb=round(many_mb),
    )


def peak_mb(count: int) -> float:
    """Return the largest resident memory of a process that grades so many answers."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        with source.open("w") as file:
            for number, (query, response) in enumerate(math(count)):
                same = f"It is $\\boxed{{{query.ground_truth}}}$."
                row = {
                    "id": query.id,
                    "category": "math",
                    "prompt": "?",
                    "response": same if number % PARSED_EVERY else response.answer,
                    "ground_truth": query.ground_truth,
                }
                file.write(json.dumps(row) + "\n")
        command = [sys.executable, "-c", CHILD, str(source), str(Path(folder, "out.jsonl"))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1]) / 1024


if __name__ == "__main__":
    main()
