"""Memory of the generate stage: its peak at 10,000 queries over its peak at 200,000.

The whole stage runs, journal and tables included, in a process of its own for each count. Only the engine is a
stand-in, which answers at once: half of the first attempts are right, and an answer has about 2,000 characters of
reasoning.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _result import write_result

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.9  # flat within 10 %
COUNTS = (10_000, 200_000)
REASONING_CHARS = 2000
WORDS = ("so", "we", "add", "the", "two", "terms", "and", "check", "sum", "again", "which", "is")
TRACKED: dict[str, Any] = {
    "run": {"name": "memory", "seed": 1},
    "generate": {"max_attempts": 4},
    "verify": {
        "threshold": 0.9,
        "judge": {"model": "judge", "math": "any_no", "science": "any_no"},
        "item_cpu_seconds": 10.0,
        "code": {
            "isolation": "rlimits",
            "max_tests": 1,
            "test_seconds": 1.0,
            "total_seconds": 1.0,
            "memory_mb": 256,
        },
    },
}
TEACHER = {
    "label": "stand-in",
    "engine": "openai",
    "model": "stand-in",
    "revision": "none",
    "license": "mit",
    "reasoning": "think_tags",
    "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 1000},
}


class AnswersAtOnce:
    """The stand-in: reasoning drawn from the request's seed, then the letter B or C."""

    journaled = True
    concurrency = 64
    fingerprint: dict[str, Any] = {"engine": "stand-in"}  # noqa: RUF012

    def render(self, request: Any) -> str:
        """Return the question."""
        return str(request.messages[-1].content)

    async def complete(self, request: Any) -> Any:
        """Return the answer."""
        from stillhouse.models.engine import Completion

        await asyncio.sleep(0)
        draw = random.Random(request.seed)
        reasoning = " ".join(draw.choices(WORDS, k=REASONING_CHARS // 4))
        letter = draw.choice("BC")
        text = f"<think>{reasoning}</think>The answer is {letter}."
        return Completion(
            text=text, finish_reason="stop", prompt_tokens=20, completion_tokens=len(text) // 4
        )

    async def close(self) -> None:
        """Nothing is held open."""


def run_stage(count: int) -> dict[str, float]:
    """Run the stage over `count` queries in the current folder and return its figures."""
    from stages import generate as stage
    from stillhouse import layout
    from stillhouse.generate import run as room
    from stillhouse.models.build import ModelRoom
    from stillhouse.models.client import Model
    from stillhouse.params.stage import StageParams
    from stillhouse.records import Message, Query, query_id
    from stillhouse.tables.write import write_table

    class StandInRoom(ModelRoom):
        def model(self, name: str, _: Any, __: Any, purpose: Any, ___: Any = None) -> Model:
            return Model(AnswersAtOnce(), self.journal, purpose, name)

    def queries() -> Iterator[Query]:
        for number in range(count):
            text = f"Which letter is right in case {number}?\nA. one\nB. two\nC. three\nD. four"
            messages = [Message(role="user", content=text)]
            yield Query(
                id=query_id(messages),
                category="science",
                source="made_up",
                license="cc0-1.0",
                messages=messages,
                ground_truth="B",
            )

    write_table(layout.CURATED_QUERIES, Query, queries())
    Path("conf/teachers").mkdir(parents=True)
    tracked = dict(TRACKED)
    for name in ("alpha", "judge"):
        tracked[f"conf/teachers/{name}.yaml:teacher"] = TEACHER
        file = {"teacher": TEACHER, "perplexity_cut": None}
        Path(f"conf/teachers/{name}.yaml").write_text(json.dumps(file))
    room.ModelRoom = StandInRoom  # type: ignore[misc, assignment]
    started = time.monotonic()
    stage.run("alpha", StageParams("generate@alpha", tracked))
    seconds = time.monotonic() - started
    metrics = json.loads(Path("metrics/generate/alpha.json").read_text())
    assert metrics["queries"] == count
    return {
        "queries": count,
        "answers": metrics["attempts"],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "seconds": round(seconds, 1),
        "answers_per_second": round(metrics["attempts"] / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(run_stage(arguments.child)))
        return
    runs = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                **os.environ,
                "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
                "STILLHOUSE_JOURNAL": "journal",
            }
            command = [sys.executable, __file__, "--child", str(count)]
            done = subprocess.run(
                command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    write_result("loop_memory", runs[0]["peak_mb"] / runs[1]["peak_mb"], GOAL, runs=runs)


if __name__ == "__main__":
    main()
