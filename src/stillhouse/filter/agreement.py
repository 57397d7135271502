"""Whether the teachers of a parallel set differ at all: equal final answers and similar traces, by pair of teachers.

Only the first `SAMPLED_QUERIES` rows of the parallel set are compared. They are in the order of the queries' ids, which
are hashes, so that this is a sample drawn at random, and the same one in every run. One query of all teachers is in
memory at a time, and a few rows that were read ahead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from stillhouse import layout
from stillhouse.filter.tokens import Keys, ngram_hashes
from stillhouse.records import assistant_text, references_of
from stillhouse.tables.streams import read_batches
from stillhouse.verify.rules.final_answer import final_answer
from stillhouse.verify.rules.notation import essence

SAMPLED_QUERIES = 1000
READ_ROWS = 20  # ahead, per teacher
SHINGLE_TOKENS = 5
# Rules that accept an answer because it is the reference; of these categories the final answer is read out of the text.
REFERENCE_RULES = frozenset({"math_rule", "science_rule"})
WITH_FINAL_ANSWER = frozenset({"math", "science"})
DIGITS = 4  # decimals of a similarity

_COLUMNS = ["query_id", "category", "ground_truth", "think", "answer", "verifier"]


class _Trace(NamedTuple):
    """One row in the form that is compared; `is_reference`: a rule found its final answer equal to one reference."""

    query: str
    text: str
    final: str
    is_reference: bool
    shingles: Keys


@dataclass
class _Pair:
    """What is counted of two teachers."""

    compared: int = 0
    same_answer: int = 0
    by_reference: int = 0
    identical: int = 0
    similarities: list[float] = field(default_factory=list)

    def add(self, one: _Trace, other: _Trace) -> None:
        by_reference = one.is_reference and other.is_reference
        self.compared += 1
        self.by_reference += by_reference
        self.same_answer += by_reference or one.final == other.final
        self.identical += one.text == other.text
        self.similarities.append(_jaccard(one, other))

    def figures(self) -> dict[str, Any]:
        found = self.similarities
        return {
            "compared": self.compared,
            "same_answer": self.same_answer,
            "by_reference": self.by_reference,
            "identical": self.identical,
            "similarity_mean": round(fmean(found), DIGITS) if found else None,
            "similarity_median": round(median(found), DIGITS) if found else None,
        }


def agreement(teachers: Sequence[str]) -> list[dict[str, Any]]:
    """Return how far each two teachers agree on the sampled queries of the parallel set.

    The final answers of two rows are equal if a rule found both equal to the same single reference (`by_reference`), or
    else if their normalised texts are equal (`verify.rules.notation.essence`): in math and science of the final answer,
    in the other categories of the whole answer. So `same_answer - by_reference` of `compared - by_reference` rows is
    what the teachers agree on by themselves.

    The similarity of two traces is the Jaccard index of their sets of `SHINGLE_TOKENS`-grams of words and punctuation
    marks, over reasoning and answer as the student reads them; 0: no common n-gram, 1: the same n-grams.

    Returns:
        Rows of pair (two ids), compared, same_answer, by_reference, identical (the same text), similarity_mean,
        similarity_median; both null where nothing was compared.
    """
    pairs = {pair: _Pair() for pair in combinations(teachers, 2)}
    if not pairs:
        return []
    for rows in zip(*(_traces(teacher) for teacher in teachers), strict=False):
        for (first, one), (second, other) in combinations(zip(teachers, rows, strict=True), 2):
            # Tables of a parallel set have the same queries in the same order. Two queries may swap places where their
            # ids begin with the same 16 digits; these are left out.
            if one.query == other.query:
                pairs[first, second].add(one, other)
    return [{"pair": list(pair), **found.figures()} for pair, found in pairs.items()]


def _traces(teacher: str) -> Iterator[_Trace]:
    rows = (
        row
        for batch in read_batches(layout.aligned(teacher), _COLUMNS, rows=READ_ROWS)
        for row in batch.to_pylist()
    )
    for row in islice(rows, SAMPLED_QUERIES):
        answer, truth = row["answer"], row["ground_truth"]
        text = assistant_text(row["think"], answer)
        final = final_answer(answer)[0] if row["category"] in WITH_FINAL_ANSWER else answer
        yield _Trace(
            row["query_id"],
            text,
            essence(final),
            row["verifier"] in REFERENCE_RULES and len(references_of(truth or "")) == 1,
            np.unique(ngram_hashes([text], SHINGLE_TOKENS).hash),
        )


def _jaccard(one: _Trace, other: _Trace) -> float:
    common = len(np.intersect1d(one.shingles, other.shingles, assume_unique=True))
    union = len(one.shingles) + len(other.shingles) - common
    return common / union if union else float(one.text == other.text)  # too short for an n-gram
