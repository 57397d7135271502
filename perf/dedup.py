"""Near duplicates: sketch and index against datasketch with a permissive index, and the recall of both.

Queries are made of words drawn by a Zipf law, with numbers; 3 % are copies of the one before, with words replaced
until the Jaccard index of their shingles is at one of five levels. The ratio is our rate over the peer's, from hashed
shingles to candidates, in CPU seconds. datasketch with its default index and 16 bands of 8 MinHashes in plain numpy
are beside both: the bands are faster, but may miss a pair. Hashing the shingles, which all of them need, and
computing the index of the candidates are reported apart.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from _result import write_result
from datasketch import MinHash, MinHashLSH

from stillhouse.queries.dedup import shingles
from stillhouse.queries.near import BLOCK_ROWS, SetJoin
from stillhouse.records import Message, Query, query_id

GOAL = 5.9  # 48,000 a CPU second, where datasketch makes 8,100
THRESHOLD = 0.85
SHINGLE_WORDS = 3
BANDS, BAND = 16, 8
LEVELS = (0.95, 0.90, 0.87, 0.85, 0.80)
PLANTED = 0.03
FEW = 5000  # queries for datasketch, whose rate does not depend on their number

Sets = list[np.ndarray]
Pair = tuple[int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=50_000)
    queries, planted = made(parser.parse_args().queries)
    began = time.process_time()
    blocks = [
        shingles(queries[i : i + BLOCK_ROWS], SHINGLE_WORDS)
        for i in range(0, len(queries), BLOCK_ROWS)
    ]
    hashing = time.process_time() - began
    join, found, seconds = ours(blocks)
    similar, confirmed_seconds = cpu(lambda: {(i, j) for i, j, _ in join.similar()})
    elements = np.concatenate([block[0] for block in blocks])
    lengths = np.concatenate([block[1] for block in blocks])
    bands, bands_seconds = cpu(lambda: numpy_bands(elements, lengths))
    few = np.split(elements, np.cumsum(lengths)[:-1])[:FEW]
    default, default_seconds = cpu(lambda: datasketch(few, (0.5, 0.5)))
    permissive, permissive_seconds = cpu(lambda: datasketch(few, (0.1, 0.9)))
    rate, peer_rate = len(queries) / seconds, len(few) / permissive_seconds
    write_result(
        "dedup",
        rate / peer_rate,
        GOAL,
        queries=len(queries),
        mean_shingles=round(float(lengths.mean()), 1),
        per_cpu_second=round(rate),
        least_per_cpu_second=48_000,
        datasketch_permissive_per_cpu_second=round(peer_rate),
        datasketch_per_cpu_second=round(len(few) / default_seconds),
        numpy_bands_per_cpu_second=round(len(queries) / bands_seconds),
        hashing_of_shingles_per_cpu_second=round(len(queries) / hashing),
        candidates_and_their_index_per_cpu_second=round(len(queries) / confirmed_seconds),
        candidates=found,
        recall_by_jaccard_index=recall(planted, similar),
        recall_of_datasketch_permissive=recall(planted, permissive, FEW),
        recall_of_datasketch=recall(planted, default, FEW),
        recall_of_numpy_bands=recall(planted, bands),
    )


def cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what work returns, and its CPU seconds."""
    began = time.process_time()
    return work(), time.process_time() - began


def made(count: int) -> tuple[list[Query], dict[Pair, float]]:
    """Return distinct queries, and the planted pairs with the Jaccard index of each."""
    rng = random.Random(1)
    vocabulary = [f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    texts: list[list[str]] = []
    planted: dict[Pair, float] = {}
    while len(texts) < count:
        length = rng.randint(25, 80)
        own = rng.choices(vocabulary, weights, k=length)
        for _ in range(3):
            own[rng.randrange(length)] = str(rng.randint(2, 999))
        texts.append(own)
        if rng.random() < PLANTED:
            copy, index = changed(own, rng.choice(LEVELS), rng)
            planted[len(texts) - 1, len(texts)] = index
            texts.append(copy)
    return [query(" ".join(text)) for text in texts], planted


SYLLABLES = [c + v for c in "bdfgklmnprst" for v in "aeo"]


def changed(text: list[str], level: float, rng: random.Random) -> tuple[list[str], float]:
    """Return a copy with other words, the last before its Jaccard index falls below the level, and that index."""
    copy, index = list(text), 1.0
    places = [i for i, word in enumerate(text) if word.isalpha()]
    for i in rng.sample(places, len(places)):
        tried = [*copy[:i], rng.choice(SYLLABLES) * 4, *copy[i + 1 :]]
        lower = jaccard(text, tried)
        if lower >= level:
            copy, index = tried, lower
    return copy, index


def jaccard(a: list[str], b: list[str]) -> float:
    """Return the Jaccard index as the stage has it, whose shingles begin with the role of the turn."""
    left, right = (
        {(x, y, z) for (x, y), (_, z) in pairwise(pairwise(["user", *t]))} for t in (a, b)
    )
    return len(left & right) / len(left | right)


def query(text: str) -> Query:
    """Return a query of one user turn."""
    messages = [Message(role="user", content=text)]
    return Query(
        id=query_id(messages), category="other", source="made", license="mit", messages=messages
    )


def ours(blocks: list[tuple[Any, Any]]) -> tuple[SetJoin, int, float]:
    """Return the join, the number of candidates, and the CPU seconds."""
    began = time.process_time()
    join = SetJoin(THRESHOLD)
    for elements, lengths in blocks:
        join.add(elements, lengths)
    found = sum(len(left) for left, _ in join.candidates())
    return join, found, time.process_time() - began


def numpy_bands(elements: np.ndarray, lengths: np.ndarray) -> set[Pair]:
    """Return the candidates of MinHash with multiply-shift hashes and bands, a block of queries at a time."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(1, 1 << 32, (2, BANDS * BAND), dtype=np.uint64).astype(np.uint32)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    sketch = np.empty((BANDS * BAND, len(lengths)), dtype=np.uint32)
    low = (elements >> np.uint64(32)).astype(np.uint32)
    step = 1000
    for first in range(0, len(lengths), step):
        last = min(first + step, len(lengths))
        part = low[starts[first] : ends[last - 1]]
        where = starts[first:last] - starts[first]
        for k in range(BANDS * BAND):
            sketch[k, first:last] = np.minimum.reduceat(part * (a[k] | np.uint32(1)) + b[k], where)
    found: set[Pair] = set()
    for band in range(BANDS):
        key = np.zeros(len(lengths), dtype=np.uint64)
        for row in sketch[band * BAND : (band + 1) * BAND]:
            key = (key ^ row) * np.uint64(0x9E3779B97F4A7C15)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        found.update((int(order[i]), int(order[i + 1])) for i in same)
    return found


def datasketch(sets: Sets, weights: tuple[float, float]) -> set[Pair]:
    """Return the candidates of datasketch's MinHash and index of 128 permutations."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=BANDS * BAND, weights=weights)
    empty = MinHash(num_perm=BANDS * BAND)
    found: set[Pair] = set()
    for i, elements in enumerate(sets):
        sketch = empty.copy()
        sketch.update_batch([element.tobytes() for element in elements])
        found.update((int(j), i) for j in index.query(sketch))
        index.insert(i, sketch)
    return found


def recall(
    planted: dict[Pair, float], found: set[Pair], first: int | None = None
) -> dict[str, str]:
    """Return by level of the Jaccard index how many of the planted pairs were found."""
    counts: dict[float, list[bool]] = defaultdict(list)
    for pair, index in planted.items():
        if first is None or pair[1] < first:
            counts[max(level for level in LEVELS if level <= index)].append(pair in found)
    return {
        f"from {level}": f"{sum(hits)} of {len(hits)}"
        for level, hits in sorted(counts.items(), reverse=True)
    }


if __name__ == "__main__":
    main()
