"""Seeded questions of reasoning-gym, for the query sources and for the benchmark items.

Both rooms draw here, so that there is one list of refused generators and one rule that keeps their seeds apart. Only
questions and reference answers are taken; reasoning-gym's own scorers are never called on the text of a model.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from stillhouse.errors import StillhouseError

# Scorers that hand the text of a model to eval or to sympy's parser, which runs it as Python. We grade with our own
# verifiers, but a release names its generator, and whoever scores answers to it with reasoning-gym must be safe.
_RUNS_MODEL_TEXT = "its scorer executes the text of a model"
REFUSED = {
    "binary_matrix": _RUNS_MODEL_TEXT,
    "countdown": _RUNS_MODEL_TEXT,
    "intermediate_integration": _RUNS_MODEL_TEXT,
    "n_queens": _RUNS_MODEL_TEXT,
    "polynomial_multiplication": _RUNS_MODEL_TEXT,
    "puzzle24": _RUNS_MODEL_TEXT,
    "simple_integration": _RUNS_MODEL_TEXT,
    "spiral_matrix": _RUNS_MODEL_TEXT,
    "string_insertion": _RUNS_MODEL_TEXT,
    "codeio": "the same seed gives different questions",
    "game_of_life_halting": "its reference accepts wrong answers",
    "composite": "it may contain any of the refused generators",
}

# reasoning-gym makes question i of a data set from the seed + i, and some generators take 32-bit seeds only. Queries
# start below 2**30 and items at 2**31, so that fewer than 2**30 of each can never meet.
_QUERY_SEEDS = range(2**30)
_HELD_OUT_SEEDS = range(2**31, 2**31 + 2**30)


Half = Literal["queries", "benchmark"]


class GymError(StillhouseError):
    """A generator is unknown, refused, or does not take the configuration given."""


class Question(NamedTuple):
    """One question: prompt, reference answer, and what the generator says about how it was made."""

    prompt: str
    answer: str
    facts: dict[str, Any]


def query_seed(source_id: str, run_seed: int) -> int:
    """Return the first seed of a query source."""
    return _within(_QUERY_SEEDS, "queries", source_id, run_seed)


def held_out_seed(task_id: str, run_seed: int) -> int:
    """Return the first seed of a benchmark task; no query source ever reaches it."""
    return _within(_HELD_OUT_SEEDS, "benchmark", task_id, run_seed)


def half_of(prompt: str) -> Half:
    """Return the half that a question belongs to by the numbers in it, whatever their order.

    A generator of short sums has few sets of numbers (286 sets of three from 0 to 10, written in 1,331 ways), so that
    two draws share most of them. Half of the sets are for queries and half for benchmark items: a student cannot have
    seen an item's numbers in training.
    """
    numbers = sorted(re.findall(r"\d+(?:\.\d+)?", prompt))
    return "queries" if hashlib.sha256(" ".join(numbers).encode()).digest()[0] % 2 else "benchmark"


def _within(seeds: range, *parts: str | int) -> int:
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return seeds[int.from_bytes(digest[:8]) % len(seeds)]


def questions(
    generator: str, config: dict[str, Any], first_seed: int, count: int
) -> Iterator[Question]:
    """Yield `count` questions; question i depends on generator, config and `first_seed` + i alone.

    Raises:
        GymError: see the class.
    """
    if generator in REFUSED:
        raise GymError(
            f"generator {generator!r} is refused: {REFUSED[generator]}; choose another generator"
        )
    if taken := {"seed", "size"} & config.keys():
        raise GymError(
            f"generator {generator!r}: config must not hold {', '.join(sorted(taken))}; "
            "the seed comes from run.seed, the number of questions from count"
        )
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if generator not in DATASETS:
        known = ", ".join(sorted(DATASETS.keys() - REFUSED.keys()))
        raise GymError(f"reasoning-gym has no generator {generator!r}; there are: {known}")
    try:
        dataset = reasoning_gym.create_dataset(generator, seed=first_seed, size=count, **config)
    except (AssertionError, TypeError, ValueError, KeyError) as error:
        raise GymError(
            f"generator {generator!r} does not take the config {config}: {error}; "
            "correct `config`; see reasoning-gym's gallery"
        ) from error
    for index in range(count):
        entry = dataset[index]
        if not entry["answer"]:
            raise GymError(
                f"generator {generator!r}: question {index} has no single reference answer; choose another generator"
            )
        yield Question(entry["question"], str(entry["answer"]), entry["metadata"])
