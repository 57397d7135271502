"""Counts the released rows while they are written, so that the card needs no second pass over them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stillhouse.verify.checks import by_judge_alone


@dataclass
class ConfigCounts:
    """Rows and sizes of one configuration.

    `bytes` is the uncompressed size in memory. `absent` counts, by column, the rows with null, an empty text or an
    empty list.
    """

    rows: int = 0
    bytes: int = 0
    absent: Counter[str] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch."""
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self.absent[name] += column.null_count + _empty(column)


@dataclass
class Tokens:
    """Counts responses by their number of tokens, so that every quantile is exact."""

    by_length: Counter[int] = field(default_factory=Counter)

    def add(self, tokens: pa.Array) -> None:
        """Count a column of lengths."""
        for pair in pc.value_counts(tokens).to_pylist():
            self.by_length[pair["values"]] += pair["counts"]

    @property
    def rows(self) -> int:
        """Number of responses."""
        return self.by_length.total()

    @property
    def total(self) -> int:
        """Tokens of all responses."""
        return sum(length * rows for length, rows in self.by_length.items())

    @property
    def mean(self) -> float:
        """Mean length; 0 if there is no response."""
        return self.total / self.rows if self.rows else 0.0

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least `share` of the responses do not exceed."""
        seen = 0
        for length in sorted(self.by_length):
            seen += self.by_length[length]
            if seen >= share * self.rows:
                return length
        return 0


@dataclass
class TeacherCounts:
    """Counts of the rows of one teacher.

    `sources` and `categories` count released rows. `verifiers` counts released rows by category and by the verifier
    that decided. `partly_passed` counts released programs that failed some of their tests. `attempts` counts attempts
    by (source, state), and `dropped` the attempts outside the training set by (stage, reason). `source_licenses` has
    the pairs of source and licence.
    """

    tokens: Tokens = field(default_factory=Tokens)
    with_think: int = 0
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    verifiers: dict[str, Counter[str]] = field(default_factory=dict)
    partly_passed: int = 0
    accepted_attempt: Counter[int] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    source_licenses: set[tuple[str, str]] = field(default_factory=set)
    attempt_tokens: Tokens = field(default_factory=Tokens)
    truncated: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_data(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `data`."""
        self.tokens.add(batch.column("tokens"))
        self.with_think += pc.sum(pc.not_equal(batch.column("think"), "")).as_py() or 0
        for row in _groups(batch, ["category", "source", "source_license"], tokens=True):
            part = self.categories.setdefault(row["category"], {"rows": 0, "tokens": 0})
            part["rows"] += row["rows"]
            part["tokens"] += row["tokens"]
            origin = self.sources.setdefault(
                row["source"],
                {"category": row["category"], "license": row["source_license"], "rows": 0},
            )
            origin["rows"] += row["rows"]
        for row in _groups(batch, ["category", "verifier"]):
            self.verifiers.setdefault(row["category"], Counter())[row["verifier"]] += row["rows"]
        programs = pc.equal(batch.column("category"), "code")
        partly = pc.and_(programs, pc.less(batch.column("verify_score"), 1.0))
        self.partly_passed += pc.sum(partly).as_py() or 0
        for row in _groups(batch, ["attempt"]):
            self.accepted_attempt[row["attempt"]] += row["rows"]

    def add_attempts(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `all_attempts`."""
        self.attempt_tokens.add(batch.column("tokens"))
        self.truncated += pc.sum(pc.equal(batch.column("finish_reason"), "length")).as_py() or 0
        for row in _groups(batch, ["source", "source_license", "state"]):
            self.attempts[row["source"], row["state"]] += row["rows"]
            self.source_licenses.add((row["source"], row["source_license"]))

    def add_rejected(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `rejected`."""
        for row in _groups(batch, ["stage", "reason"]):
            self.dropped[row["stage"], row["reason"]] += row["rows"]

    def judge_only(self, category: str) -> int:
        """Return the released rows of a category that only the judge accepted."""
        found = self.verifiers[category].items()
        return sum(rows for verifier, rows in found if by_judge_alone(verifier))

    def passed(self, source: str | None = None) -> float:
        """Return the share of attempts that passed, for one source or for all."""
        counts: Mapping[tuple[str, str], int] = {
            key: rows for key, rows in self.attempts.items() if source in (None, key[0])
        }
        total = sum(counts.values())
        passed = sum(rows for (_, state), rows in counts.items() if state == "pass")
        return passed / total if total else 0.0


def _groups(
    batch: pa.RecordBatch, names: list[str], *, tokens: bool = False
) -> list[dict[str, Any]]:
    """Return the distinct values of some columns with their number of rows and, if `tokens`, the sum of tokens."""
    wanted = [([], "count_all"), *([("tokens", "sum")] if tokens else [])]
    table = pa.Table.from_batches([batch]).group_by(names, use_threads=False).aggregate(wanted)
    renamed = {"count_all": "rows", "tokens_sum": "tokens"}
    found: list[dict[str, Any]] = table.rename_columns(
        [renamed.get(name, name) for name in table.column_names]
    ).to_pylist()
    return found


def _empty(column: pa.Array) -> int:
    if pa.types.is_string(column.type):
        lengths = pc.binary_length(column)
    elif pa.types.is_list(column.type):
        lengths = pc.list_value_length(column)
    else:
        return 0
    return int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)
