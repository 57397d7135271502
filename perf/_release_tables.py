"""Synthetic tables of a run, as the stages before `package` write them, in bounded memory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.package.batches import TeacherTables
from stillhouse.package.write import RunTables
from stillhouse.records import (
    Decision,
    Example,
    Perplexity,
    Query,
    Rejected,
    Response,
    Row,
    Verdict,
    example_id,
)
from stillhouse.schemas import arrow_schema
from stillhouse.tables.write import SHARD_FORMAT

CHARS_PER_TOKEN = 4  # English and mathematics, about
BATCH = 1000
SHARD_ROWS = 100_000
_WORDS = 20_000
_POOL_CHARS = 30_000_000


class Texts:
    """Pieces of one long text of made-up words, whose frequencies fall as those of a language do."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
        words = [
            "".join(letters[np.minimum(self._random.geometric(0.12, size=n) - 1, 25)])
            for n in self._random.integers(1, 11, size=_WORDS)
        ]
        ranks = 1 / np.arange(1, _WORDS + 1)
        drawn = self._random.choice(_WORDS, size=_POOL_CHARS // 6, p=ranks / ranks.sum())
        self._pool = " ".join(words[i] for i in drawn)

    def pieces(self, count: int, mean_chars: int) -> list[str]:
        """Return pieces whose lengths are spread log-normally, as those of reasoning are."""
        sigma = 0.8
        lengths = self._random.lognormal(np.log(mean_chars) - sigma**2 / 2, sigma, size=count)
        starts = self._random.integers(0, len(self._pool) // 2, size=count)
        return [self._pool[s : s + max(8, int(n))] for s, n in zip(starts, lengths, strict=True)]


def write_run(root: Path, rows: int, mean_tokens: int, seed: int = 2505) -> RunTables:
    """Write the tables of one teacher `synthetic` that has one accepted and one failed attempt at every second query.

    Args:
        root: folder to write into.
        rows: number of released rows.
        mean_tokens: mean length of a response.
        seed: seed of the texts.
    """
    texts = Texts(seed)
    ids = sorted(hashlib.md5(f"query {i}".encode()).hexdigest() for i in range(rows))
    own = TeacherTables(
        *(root / name for name in ("aligned", "responses", "verdicts", "perplexity", "decisions"))
    )
    run = RunTables(root / "queries", root / "rejected", {"synthetic": own})
    writers = {
        run.queries: _Writer(run.queries, Query),
        own.aligned: _Writer(own.aligned, Example),
        own.responses: _Writer(own.responses, Response),
        own.verdicts: _Writer(own.verdicts, Verdict),
        own.perplexity: _Writer(own.perplexity, Perplexity),
        own.decisions: _Writer(own.decisions, Decision),
    }
    for start in range(0, rows, BATCH):
        for name, plain in _batch(ids[start : start + BATCH], texts, mean_tokens):
            writers[getattr(own, name) if name != "queries" else run.queries].write(plain)
    for writer in writers.values():
        writer.close()
    _Writer(run.rejected_queries, Rejected).close()
    return run


def _batch(
    ids: list[str], texts: Texts, mean_tokens: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    count = len(ids)
    chars = mean_tokens * CHARS_PER_TOKEN
    thinks, answers = texts.pieces(count, chars * 4 // 5), texts.pieces(count, chars // 5)
    prompts, failures = texts.pieces(count, 400), texts.pieces(count, chars)
    queries, examples, responses, verdicts, perplexities, decisions = [], [], [], [], [], []
    for i, query in enumerate(ids):
        messages = [{"role": "user", "content": prompts[i]}]
        shared = {
            "category": ("math", "code", "science", "other")[i % 4],
            "source": f"source_{i % 7}",
            "messages": messages,
            "ground_truth": "42" if i % 4 == 0 else None,
            "language": "python" if i % 4 == 1 else None,
            "tests": [{"kind": "assert", "code": "assert f(1) == 2"}] if i % 4 == 1 else [],
            "constraints": [],
        }
        queries.append({"id": query, "license": "apache-2.0", **shared})
        attempts = [False, True] if i % 2 else [True]
        names = sorted(
            query[:16] + hashlib.md5(f"{query} {n}".encode()).hexdigest()[:16]
            for n in range(len(attempts))
        )
        for number, (accepted, name) in enumerate(zip(attempts, names, strict=True)):
            think, answer = (thinks[i], answers[i]) if accepted else ("", failures[i])
            tokens = (len(think) + len(answer)) // CHARS_PER_TOKEN
            response = {
                "id": name,
                "query_id": query,
                "teacher": "synthetic",
                "attempt": number,
                "seed": i,
                "think": think,
                "answer": answer,
                "finish_reason": "stop",
                "prompt_tokens": 100,
                "completion_tokens": tokens,
                "fingerprint": "f" * 32,
            }
            responses.append(response | {"frame": ["", "", ""]})
            verdicts.append(
                {
                    "response_id": name,
                    "query_id": query,
                    "state": "pass" if accepted else "fail",
                    "score": float(accepted),
                    "reason": None if accepted else "wrong_answer",
                    "verifier": "rule",
                    "checks": [],
                }
            )
            decisions.append(
                {
                    "response_id": name,
                    "query_id": query,
                    "kept": accepted,
                    "reason": None if accepted else "not_verified",
                }
            )
            if accepted:
                perplexities.append({"response_id": name, "perplexity": 2.5, "tokens": tokens})
                examples.append(
                    response
                    | shared
                    | {
                        "id": example_id(query, name),
                        "source_license": "apache-2.0",
                        "model": "synthetic",
                        "model_revision": "0" * 40,
                        "verify_score": 1.0,
                        "verifier": "rule",
                        "perplexity": 2.5,
                    }
                )
    yield from (
        ("queries", queries),
        ("aligned", examples),
        ("responses", responses),
        ("verdicts", verdicts),
        ("perplexity", perplexities),
        ("decisions", decisions),
    )


class _Writer:
    """Shards of one row type, in the order in which rows come."""

    def __init__(self, folder: Path, row_type: type[Row]) -> None:
        folder.mkdir(parents=True)
        self._folder, self._schema = folder, arrow_schema(row_type)
        self._shards = self._rows = 0
        self._open()

    def _open(self) -> None:
        path = self._folder / f"shard-{self._shards:05d}.parquet"
        self._writer = pq.ParquetWriter(path, self._schema, **SHARD_FORMAT)
        self._held: list[pa.RecordBatch] = []
        self._shards += 1

    def write(self, plain: list[dict[str, Any]]) -> None:
        """Add rows."""
        self._held.append(pa.RecordBatch.from_pylist(plain, schema=self._schema))
        self._rows += len(plain)
        if sum(batch.nbytes for batch in self._held) > 50_000_000:
            self._flush()
        if self._rows >= SHARD_ROWS:
            self.close()
            self._rows = 0
            self._open()

    def close(self) -> None:
        """Finish the shard."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held, schema=self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._held = []
