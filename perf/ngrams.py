"""The n-gram filter beside a plain exact count by numpy: rows a second of CPU time over the same 32,000 texts.

The texts have 3,000 tokens of a vocabulary of 100,000 words; ten phrases of 25 words are planted in 32 of them each.
The peer hashes each word once (a dictionary), combines the hashes of 20 words in place, writes them to 64 files by
their top bits, sorts each file and keeps what occurs more than 20 times; it reads the texts once more to name them.
Both read the texts from one file, in a process each, and use temporary files. Our time includes all threads; the CPU
time for more rows is extrapolated with the growth from the smaller to the larger number of rows.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _result import write_result

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.8
TOKENS = 3000
VOCABULARY = 100_000
PHRASES, COPIES = 10, 32
N, MAX_COUNT = 20, 20
PAPER_ROWS = 1_890_000
GOAL_MINUTES = 60  # of CPU time at PAPER_ROWS


def write_texts(path: Path, rows: int) -> None:
    """Write one text a line; word frequencies fall with the rank, as in natural text."""
    draw = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(draw.choice(letters, draw.integers(2, 9))) for _ in range(VOCABULARY)]
    phrases = [" ".join(f"phrase{k}x{i}" for i in range(25)) for k in range(PHRASES)]
    planted = draw.permutation(rows)[: PHRASES * COPIES].tolist()
    phrase_of = {row: phrases[i % PHRASES] for i, row in enumerate(planted)}
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            ranks = VOCABULARY ** draw.random(TOKENS * 9 // 10)  # log-uniform: Zipf's law
            text = [words[rank] for rank in ranks.astype(np.int64) - 1]
            text[9::10] = [f"{word}, ".strip() for word in text[9::10]]
            if row in phrase_of:
                text[100:100] = [phrase_of[row]]
            file.write(" ".join(text) + "\n")


def read(path: Path) -> Iterator[str]:
    """Yield the texts."""
    with path.open(encoding="utf-8") as file:
        yield from file


def ours(path: Path, folder: Path) -> list[int]:
    """Return the numbers of the texts that our filter drops."""
    from stillhouse.filter.ngrams import repeated
    from stillhouse.params.filter import NgramFilter

    params = NgramFilter(n=N, max_count=MAX_COUNT, action="sample")
    found = repeated(lambda: ((str(i), text) for i, text in enumerate(read(path))), params, folder)
    assert not found.looping.any()
    return np.flatnonzero(found.copies).tolist()


def peer(path: Path, folder: Path) -> list[int]:
    """Return the numbers of the texts with an n-gram that occurs too often."""
    token = re.compile(r"\w+|[^\w\s]")
    known: dict[str, int] = {}

    def word_hash(word: str) -> int:
        if word not in known:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            known[word] = int.from_bytes(digest, "big")
        return known[word]

    def hashes(text: str) -> Any:
        found = token.findall(text)
        words = np.fromiter((known.get(w) or word_hash(w) for w in found), np.uint64, len(found))
        count = max(0, len(words) - N + 1)
        total = np.zeros(count, np.uint64)
        for place in range(N):
            total *= np.uint64(0x100000001B3)
            total += words[place : place + count]
        return total

    files = [(folder / f"{part:02}").open("wb") for part in range(64)]
    held: list[Any] = []

    def flush() -> None:
        together = np.concatenate(held)
        held.clear()
        together = together[np.argsort((together >> np.uint64(58)).astype(np.uint8), kind="stable")]
        bounds = np.searchsorted(together >> np.uint64(58), np.arange(65, dtype=np.uint64))
        for part, file in enumerate(files):
            file.write(together[bounds[part] : bounds[part + 1]].tobytes())

    for row, text in enumerate(read(path), 1):
        held.append(hashes(text))
        if row % 500 == 0:
            flush()
    if held:
        flush()
    frequent = []
    for file in files:
        file.close()
        found = np.fromfile(file.name, np.uint64)
        found.sort()
        over = found[MAX_COUNT:]
        frequent.append(np.unique(over[over == found[: len(over)]]))
    often = np.concatenate(frequent)
    return [row for row, text in enumerate(read(path)) if np.isin(hashes(text), often).any()]


def measure(side: str, path: Path, rows: int) -> dict[str, Any]:
    """Run one side in a process of its own, over the first `rows` texts."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, __file__, "--child", side, str(path), folder]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"}
        done = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return {"rows": rows, "rows_per_cpu_second": round(rows / found["cpu_seconds"], 1), **found}


def child(side: str, path: Path, folder: Path) -> None:
    """Run one side and print its figures as JSON."""
    sides = {"ours": ours, "peer": peer}
    begun, started = time.process_time(), time.perf_counter()
    found = sides[side](path, folder)
    figures = {
        "dropped": len(found),
        "cpu_seconds": round(time.process_time() - begun, 2),
        "wall_seconds": round(time.perf_counter() - started, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--work", type=Path, help="folder for the texts (about 2 GB)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        side, path, folder = arguments.child
        child(side, Path(path), Path(folder))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        small, large = Path(scratch) / "small", Path(scratch) / "large"
        quarter = arguments.rows // 4
        write_texts(small, quarter)
        write_texts(large, arguments.rows)
        growth = measure("ours", small, quarter)
        theirs = measure("peer", large, arguments.rows)
        own = measure("ours", large, arguments.rows)
    assert theirs["dropped"] == PHRASES * COPIES
    assert own["dropped"] == PHRASES * (COPIES - 1)  # one copy of each is kept
    seconds_a_row = own["cpu_seconds"] / own["rows"]
    # The CPU time of a row may grow with the number of rows: by this power.
    power = np.log(seconds_a_row / (growth["cpu_seconds"] / growth["rows"])) / np.log(4)
    seconds = PAPER_ROWS * seconds_a_row * (PAPER_ROWS / own["rows"]) ** max(0.0, power)
    write_result(
        "ngrams",
        own["rows_per_cpu_second"] / theirs["rows_per_cpu_second"],
        GOAL,
        ours=own,
        numpy=theirs,
        ours_at_a_quarter_of_the_rows=growth,
        growth_of_the_cpu_time_of_a_row="rows^" + f"{power:.3f}",
        cpu_minutes_at_1_890_000_rows=round(seconds / 60, 1),
        goal_in_cpu_minutes=GOAL_MINUTES,
    )


if __name__ == "__main__":
    main()
