"""Memory of grading: the peak of `stillhouse verify check` and its workers over many answers against that over few.

The peak is the largest sum of their resident sizes, which counts what they share once for each.

One answer in fifty is parsed; the others are written as their reference is, since parsing all would take half an hour.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _answers import math
from _result import write_result

GOAL = 0.9
FEW = 10_000
PARSED_EVERY = 50
SAMPLE_SECONDS = 0.2


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
    """Return the peak over so many answers."""
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
        command = ["stillhouse", "verify", "check", str(source), "--out", str(Path(folder, "out"))]
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(resident_bytes(process.pid)))
            time.sleep(SAMPLE_SECONDS)
    assert process.returncode == 0
    return peak / 1e6


def resident_bytes(session: int) -> Iterator[int]:
    """Yield the resident size of each process of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                yield int(fields[21]) * resource.getpagesize()


if __name__ == "__main__":
    main()
