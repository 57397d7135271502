"""A second `verify`: verdicts looked up a second in the store, and rows of 14 kB a second through the whole stage.

All verdicts are in the journal before. The ratio is the smaller of the two rates over its goal. Beside them stands the
rate of only reading the same attempts and writing the same verdicts, which is the stage's limit.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _answers import WORDS
from _result import write_result

from stillhouse.journal.journal import Journal
from stillhouse.params.files import parse
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.records import (
    Message,
    Query,
    Response,
    Verdict,
    assistant_text,
    frame_of,
    query_id,
    response_id,
)
from stillhouse.tables.attempts import read_attempts
from stillhouse.tables.write import TableWriter, write_table
from stillhouse.verify.attempts import grade_all
from stillhouse.verify.checks import make_check
from stillhouse.verify.facts import Facts
from stillhouse.verify.stored import Graded, Stored

GOAL_LOOK_UPS = 20_000
GOAL_ROWS = 5_000
ROUNDS = 3
ATTEMPTS = 4  # at each query
THINK_CHARS, ANSWER_CHARS = 12_500, 1_400
KEYS_AT_ONCE = 500  # as in the stage
SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8}
JUDGE = {
    "label": "judge",
    "engine": "openai",
    "model": "judge",
    "revision": "none",
    "license": "mit",
    "sampling": SAMPLING,
}
VERIFY = {
    "threshold": 0.9,
    "judge": {"model": "judge", "math": "any_no", "science": "any_no"},
    "item_cpu_seconds": 10.0,
    "code": {
        "isolation": "bubblewrap",
        "max_tests": 10,
        "test_seconds": 5.0,
        "total_seconds": 20.0,
        "memory_mb": 1024,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=24_000)
    count = parser.parse_args().answers
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        try:
            make_project(count)
            keys = fill()
            look_ups = max(look_up(keys) for _ in range(ROUNDS))
            rows, tables = [], []
            for _ in range(ROUNDS):  # in turns, so that what else the machine does falls on both
                rows.append(count / stage())
                tables.append(count / only_tables())
        finally:
            os.chdir("..")
    write_result(
        "verdict_store",
        min(look_ups / GOAL_LOOK_UPS, max(rows) / GOAL_ROWS),
        1.0,
        goal_look_ups_per_second=GOAL_LOOK_UPS,
        look_ups_per_second=round(look_ups),
        goal_rows_per_second=GOAL_ROWS,
        rows_per_second=round(max(rows)),
        rows_per_second_of_reading_and_writing_alone=round(max(tables)),
        answers=count,
        characters_per_answer=THINK_CHARS + ANSWER_CHARS,
        cores=len(os.sched_getaffinity(0)),
    )


def make_project(count: int) -> None:
    """Write a folder in which the stage can run: queries, attempts, and the file of a judge that is never asked."""
    write_table(Path("data/queries/curated"), Query, queries(count))
    write_table(Path("data/responses/bench/attempts"), Response, responses(count))
    Path("conf/teachers").mkdir(parents=True)
    runtime = "{endpoints: ['http://nobody.invalid/v1']}"
    content = f"teacher: {JUDGE}\nperplexity_cut: null\nruntime: {runtime}\n"
    Path("conf/teachers/judge.yaml").write_text(content, encoding="utf-8")


def queries(count: int) -> Iterator[Query]:
    for number in range(count // ATTEMPTS):
        messages = [Message(role="user", content=f"What is {number} + 1?")]
        yield Query(
            id=query_id(messages),
            category="math",
            source="made",
            license="cc0-1.0",
            messages=messages,
            ground_truth=str(number + 1),
        )


def responses(count: int) -> Iterator[Response]:
    draw = random.Random(0)
    for query in queries(count):
        for attempt in range(ATTEMPTS):
            think = words(draw, THINK_CHARS)
            answer = f"{words(draw, ANSWER_CHARS)}\n\nIt is $\\boxed{{{query.ground_truth}}}$."
            text = assistant_text(think, answer)
            yield Response(
                id=response_id(query.id, "bench", attempt, text),
                query_id=query.id,
                teacher="bench",
                attempt=attempt,
                seed=attempt,
                think=think,
                answer=answer,
                frame=frame_of(text, think, answer),
                finish_reason="stop",
                prompt_tokens=10,
                completion_tokens=4000,
                fingerprint="none",
            )


def words(draw: random.Random, chars: int) -> str:
    return " ".join(draw.choices(WORDS, k=chars // 4))[:chars]


def fill() -> list[bytes]:
    """Store a verdict on each attempt; return the keys."""
    found = Facts(parse(Verify, VERIFY, "verify"), parse(Teacher, JUDGE, "judge"))
    graded = Graded([make_check("math_rule", "1", 1.0, None, "read '12' for '12' ($12$)")])
    keys: list[bytes] = []
    with Journal.open(Path("journal")) as journal:
        stored = Stored(journal, found)

        async def put(pairs: list[tuple[Query, Response]]) -> None:
            keys.extend(stored.key(*pair) for pair in pairs)
            await asyncio.gather(*(stored.put(stored.key(*pair), graded) for pair in pairs))

        for query, attempts in read_attempts("bench"):
            asyncio.run(put([(query, attempt.response) for attempt in attempts]))
    return keys


def look_up(keys: list[bytes]) -> float:
    """Return the look-ups a second, in the order of no table."""
    keys = random.Random(1).sample(keys, len(keys))
    found = Facts(parse(Verify, VERIFY, "verify"), parse(Teacher, JUDGE, "judge"))
    with Journal.open(Path("journal")) as journal:
        stored = Stored(journal, found)
        started = time.perf_counter()
        total = sum(
            len(stored.get_many(keys[first : first + KEYS_AT_ONCE]))
            for first in range(0, len(keys), KEYS_AT_ONCE)
        )
        seconds = time.perf_counter() - started
    assert total == len(keys)
    return total / seconds


def stage() -> float:
    """Return the seconds of the stage's own function, the opening of the journal included."""
    verify, judge = parse(Verify, VERIFY, "verify"), parse(Teacher, JUDGE, "judge")
    started = time.perf_counter()
    with Journal.open(Path("journal")) as journal:
        tally = asyncio.run(grade_all("bench", verify, judge, journal))
    seconds = time.perf_counter() - started
    metrics = tally.metrics()
    assert metrics["pass"] == metrics["responses"]
    return seconds


def only_tables() -> float:
    """Return the seconds of reading all attempts and writing as many verdicts."""
    started = time.perf_counter()
    with TableWriter(Path("data/verdicts/tables"), Verdict) as table:
        for query, attempts in read_attempts("bench"):
            for attempt in attempts:
                table.write(
                    Verdict(
                        response_id=attempt.response.id,
                        query_id=query.id,
                        state="pass",
                        score=1.0,
                        reason=None,
                        verifier="math_rule",
                        checks=[make_check("math_rule", "1", 1.0, None, "read '12' for '12'")],
                    )
                )
        table.finish()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
