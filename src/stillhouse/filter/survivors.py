"""Which queries the parallel set keeps: by source, difficulty and length, and without each teacher.

All is counted from single columns of the tables of a run, batch by batch. Memory: about 80 bytes per query, and one
more per teacher.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillhouse import layout
from stillhouse.hashing import ID_HEX_DIGITS
from stillhouse.tables.streams import JoinError, read_batches

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
# Category, verifier and state of what a verifier said about an attempt.
Said = Counter[tuple[str, str, str]]

QUARTERS = (0.25, 0.5, 0.75)
PASS_RATES = (0.25, 0.5, 0.75)
DIGITS = 4  # decimals of a share
JOINED = "+"  # in the name of a verdict that two verifiers share


class Groups(NamedTuple):
    """A division of the queries: the label of each group, and the number of the group of each query."""

    labels: list[str]
    of: Numbers


@dataclass
class QueryColumns:
    """What is known of each query of a run; all arrays are in the order of the queries' ids.

    `category` and `source` are places in `categories` and `sources`. `attempts`, `graded` (pass or fail), `passed`,
    `prompt_tokens` and `answer_tokens` are sums over all attempts of all teachers; each teacher counts tokens with its
    own tokenizer. `kept` has one row per teacher, in the order of `teachers`: whether its filter kept an answer.
    """

    teachers: list[str]
    ids: npt.NDArray[np.bytes_]
    categories: list[str]
    sources: list[str]
    category: Numbers
    source: Numbers
    attempts: Numbers
    graded: Numbers
    passed: Numbers
    prompt_tokens: Numbers
    answer_tokens: Numbers
    kept: Flags

    @property
    def parallel(self) -> Flags:
        """Whether every teacher has a kept answer to the query."""
        found: Flags = np.logical_and.reduce(self.kept, axis=0) & bool(self.teachers)
        return found

    def places(self, ids: pa.Array) -> Numbers:
        """Return the places of queries.

        Raises:
            JoinError: an id is not one of the queries.
        """
        wanted = np.array(ids.to_pylist(), dtype=self.ids.dtype)
        found = np.searchsorted(self.ids, wanted)
        known = found < len(self.ids)
        known[known] = self.ids[found[known]] == wanted[known]
        if not known.all():
            raise JoinError(
                f"the query {wanted[~known][0].decode()} of an answer is not in {layout.CURATED_QUERIES}; the tables "
                "come from different runs: run `dvc repro`"
            )
        return found


def read_queries(teachers: Sequence[str]) -> QueryColumns:
    """Return the queries of the run, with nothing counted yet."""
    ids: list[npt.NDArray[np.bytes_]] = [np.empty(0, f"S{ID_HEX_DIGITS}")]
    codes: dict[str, list[Numbers]] = {"category": [], "source": []}
    names: dict[str, dict[str, int]] = {"category": {}, "source": {}}
    for batch in read_batches(layout.CURATED_QUERIES, ["id", *names]):
        ids.append(np.array(batch.column("id").to_pylist(), dtype=ids[0].dtype))
        for column, known in names.items():
            values = batch.column(column).to_pylist()
            codes[column].append(np.array([known.setdefault(v, len(known)) for v in values]))
    every = np.concatenate(ids)

    def zeros() -> Numbers:
        return np.zeros(len(every), np.int64)

    return QueryColumns(
        teachers=list(teachers),
        ids=every,
        categories=list(names["category"]),
        sources=list(names["source"]),
        category=np.concatenate([*codes["category"], np.empty(0, np.int64)]),
        source=np.concatenate([*codes["source"], np.empty(0, np.int64)]),
        attempts=zeros(),
        graded=zeros(),
        passed=zeros(),
        prompt_tokens=zeros(),
        answer_tokens=zeros(),
        kept=np.zeros((len(teachers), len(every)), np.bool_),
    )


def add_teacher(queries: QueryColumns, teacher: str) -> Said:
    """Count a teacher's attempts, verdicts and kept answers.

    Args:
        queries: what is counted so far; changed in place.
        teacher: one of `queries.teachers`.

    Returns:
        How often each verifier gave each state, by category, over all attempts. A verdict of two verifiers together
        (`ifeval+judge_demands`) counts under its own name, and its parts do not count.

    Raises:
        JoinError: a row belongs to no query.
        TableError: a table is missing or corrupt.
    """
    tokens = ["prompt_tokens", "completion_tokens"]
    for batch in read_batches(layout.attempts(teacher), ["query_id", *tokens]):
        places = queries.places(batch.column("query_id"))
        np.add.at(queries.attempts, places, 1)
        np.add.at(queries.prompt_tokens, places, batch.column("prompt_tokens").to_numpy())
        np.add.at(queries.answer_tokens, places, batch.column("completion_tokens").to_numpy())
    for batch in read_batches(layout.accepted(teacher), ["query_id"]):
        row = queries.teachers.index(teacher)
        queries.kept[row, queries.places(batch.column("query_id"))] = True
    return _add_verdicts(queries, teacher)


def _add_verdicts(queries: QueryColumns, teacher: str) -> Said:
    said: Said = Counter()
    parts = [f"checks.list.element.{field}" for field in ("verifier", "state")]
    for batch in read_batches(layout.verdicts(teacher), ["query_id", "state", "verifier", *parts]):
        places = queries.places(batch.column("query_id"))
        states = batch.column("state")
        passed = pc.equal(states, "pass").to_numpy(zero_copy_only=False)
        failed = pc.equal(states, "fail").to_numpy(zero_copy_only=False)
        np.add.at(queries.passed, places[passed], 1)
        np.add.at(queries.graded, places[passed | failed], 1)
        for place, verifier, state, checks in zip(
            queries.category[places].tolist(),
            batch.column("verifier").to_pylist(),
            states.to_pylist(),
            batch.column("checks").to_pylist(),
            strict=True,
        ):
            category = queries.categories[place]
            if JOINED in verifier or not checks:
                said[category, verifier, state] += 1
                continue
            for check in checks:
                said[category, check["verifier"], check["state"]] += 1
    return said


def survivors(queries: QueryColumns) -> dict[str, list[dict[str, Any]]]:
    """Return for each division of the queries how many of each group are in the parallel set.

    The divisions: `source`; `pass_rate`, the share of passed attempts among those graded, over all teachers;
    `attempts`, the mean number per teacher (a teacher is asked again until an answer is accepted); `prompt_tokens` and
    `answer_tokens`, quarters of the queries by the mean over all attempts.

    Returns:
        By division, rows of group, queries, parallel and share, in the order of the groups; a group without queries is
        left out.
    """
    divisions: dict[str, Callable[[QueryColumns], Groups]] = {
        "source": _by_source,
        "pass_rate": _by_pass_rate,
        "attempts": _by_attempts,
        "prompt_tokens": lambda found: _by_length(found.prompt_tokens, found.attempts),
        "answer_tokens": lambda found: _by_length(found.answer_tokens, found.attempts),
    }
    parallel = queries.parallel
    return {name: _rows(group(queries), parallel) for name, group in divisions.items()}


def without_each(queries: QueryColumns) -> dict[str, Any]:
    """Return the size of the parallel set without each teacher, and who costs most.

    Returns:
        `parallel` by teacher, and `costliest`: the teachers without which the set would grow most; an empty list where
        no teacher alone costs a query. Both are empty for fewer than two teachers.
    """
    if len(queries.teachers) < 2:
        return {"parallel": {}, "costliest": []}
    missing = len(queries.teachers) - queries.kept.sum(axis=0)
    whole = int((missing == 0).sum())
    gained = {
        teacher: int(((missing == 1) & ~queries.kept[row]).sum())
        for row, teacher in enumerate(queries.teachers)
    }
    most = max(gained.values())
    return {
        "parallel": {teacher: whole + gain for teacher, gain in gained.items()},
        "costliest": [teacher for teacher, gain in gained.items() if gain == most > 0],
    }


def _rows(groups: Groups, parallel: Flags) -> list[dict[str, Any]]:
    total = np.bincount(groups.of, minlength=len(groups.labels)).tolist()
    kept = np.bincount(groups.of[parallel], minlength=len(groups.labels)).tolist()
    return [
        {"group": label, "queries": of, "parallel": own, "share": round(own / of, DIGITS)}
        for label, of, own in zip(groups.labels, total, kept, strict=True)
        if of
    ]


def _by_source(queries: QueryColumns) -> Groups:
    order = np.argsort(np.argsort(queries.sources))
    return Groups(sorted(queries.sources), order[queries.source].astype(np.int64))


def _by_pass_rate(queries: QueryColumns) -> Groups:
    """Divide by passed / graded: 0, above 0 to .25, .5, .75, below 1, 1, and queries without a graded attempt."""
    bounds = [0, *(f"{100 * edge:.0f}" for edge in PASS_RATES)]
    between = [f"over {low} to {high} %" for low, high in pairwise(bounds)]
    labels = ["0 %", *between, f"over {bounds[-1]} to under 100 %", "100 %", "none graded"]
    rates = queries.passed / np.maximum(queries.graded, 1)
    groups = np.searchsorted(PASS_RATES, rates, side="left") + 1
    groups[queries.passed == 0] = 0
    groups[queries.passed == queries.graded] = len(labels) - 2
    groups[queries.graded == 0] = len(labels) - 1
    return Groups(labels, groups.astype(np.int64))


def _by_attempts(queries: QueryColumns) -> Groups:
    """Divide by the attempts per teacher, rounded up: none, up to 1, over 1 to 2, ..."""
    groups = -(-queries.attempts // max(1, len(queries.teachers)))
    most = int(groups.max(initial=0))
    labels = ["none", "up to 1", *(f"over {n} to {n + 1}" for n in range(1, most))]
    return Groups(labels[: most + 1], groups)


def _by_length(tokens: Numbers, attempts: Numbers) -> Groups:
    """Divide by mean tokens per attempt, rounded, into quarters of the queries; those without attempts come last."""
    asked = attempts > 0
    means = np.rint(tokens / np.maximum(attempts, 1)).astype(np.int64)
    if not asked.any():
        return Groups(["no attempt"], np.zeros(len(tokens), np.int64))
    edges = np.unique(np.quantile(means[asked], QUARTERS, method="inverted_cdf"))
    groups = np.searchsorted(edges, means, side="left")
    groups[~asked] = len(edges) + 1
    labels = []
    for number in range(len(edges) + 1):
        own = means[groups == number]
        labels.append(f"{own.min():,} to {own.max():,}" if len(own) else "")
    return Groups([*labels, "no attempt"], groups.astype(np.int64))
