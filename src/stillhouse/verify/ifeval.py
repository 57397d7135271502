"""Instruction-following answers: the 25 IFEval checkers, strict, with nothing fetched and nothing drawn at random.

The checkers are those of the package if-verifiable. Two of their habits are taken from them: they load tokenizer data
from the network (here: from a copy that another installed package carries), and they choose a random value for an
argument that is missing (here: an error).
"""

import functools
import importlib.util
import inspect
import os
import re
import shutil
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.models.weights import cache_folder
from stillhouse.records import Check, Constraint
from stillhouse.verify.checks import Reason, make_check

NAME = "ifeval"
VERSION = "2"

MAX_ANSWER_CHARS = 100_000  # some checkers are quadratic in the text
PATTERN_ARGUMENTS = frozenset({"keyword", "keywords", "forbidden_words"})
LANGUAGE_SEED = 0  # langdetect samples the text


class IfevalError(StillhouseError):
    """The checkers' data is not installed; the message says what is missing."""


def check_constraints(constraints: list[Constraint], answer: str) -> Check:
    """Check an answer against every constraint; the score is the share that is followed (paper section 3, strict).

    `ungradable` for a constraint that no checker knows, or whose arguments are not complete.
    """
    if not constraints:
        return _check(None, "no_constraints", "the query has no constraints")
    if len(answer) > MAX_ANSWER_CHARS:
        return _check(0.0, "answer_too_long", f"{len(answer)} characters")
    registry = _registry()
    broken: list[str] = []
    for constraint in constraints:
        checker_type = registry.get(constraint.id)
        if checker_type is None:
            return _check(
                None, "unknown_constraint", f"{constraint.id}: not one of the 25 of IFEval"
            )
        checker = checker_type(constraint.id)
        wanted = set(inspect.signature(checker.build_description).parameters)
        if wanted != set(constraint.kwargs):
            return _check(
                None,
                "bad_constraint",
                f"{constraint.id}: has {sorted(constraint.kwargs)}, needs {sorted(wanted)}",
            )
        try:
            checker.build_description(**_literal(constraint.kwargs))
        except (TypeError, ValueError) as error:
            return _check(None, "bad_constraint", f"{constraint.id}: {error}")
        try:
            followed = _may_follow(constraint, answer) and checker.check_following(answer)
        except RecursionError:  # JSON nested deeper than anything reads
            followed = False
        except Exception as error:  # of the package, over text that it was not written for
            failure = f"{constraint.id}: {type(error).__name__}: {error}"
            return _check(None, "checker_failed", failure)
        if not followed:
            broken.append(constraint.id)
    kept = len(constraints) - len(broken)
    score = kept / len(constraints)
    if not broken:
        return _check(score, None, f"{kept} of {len(constraints)} followed")
    evidence = f"{kept} of {len(constraints)} followed; not {', '.join(broken)}"
    return _check(score, "constraints_broken", evidence)


def _literal(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with words as words: the checkers take them for patterns, and "C++" is none."""
    escaped = dict(kwargs)
    for name in PATTERN_ARGUMENTS & escaped.keys():
        words = escaped[name]
        escaped[name] = re.escape(words) if isinstance(words, str) else [*map(re.escape, words)]
    return escaped


def _may_follow(constraint: Constraint, answer: str) -> bool:
    """Whether there is anything to check: an empty text follows nothing, and one without letters is in no language."""
    if constraint.id == "language:response_language":
        return any(character.isalpha() for character in answer)
    return bool(answer.strip())


def prepare() -> None:
    """Import the checkers and their data, which takes seconds: a worker does it before the time of an item begins."""
    _registry()


@functools.cache
def _registry() -> dict[str, Any]:
    """Return the checkers by constraint id, their data sources made local and their chance removed."""
    import langdetect
    import nltk

    langdetect.DetectorFactory.seed = LANGUAGE_SEED
    nltk.data.path.insert(0, str(_tokenizer_data().resolve()))
    from if_verifiable.ifeval import instructions_registry

    registry: dict[str, Any] = instructions_registry.INSTRUCTION_DICT
    return registry


def _tokenizer_data() -> Path:
    """Return a folder with nltk's punkt_tab, copied from the llama_index package without importing that.

    A copy, because nltk refuses files with several hard links, and installers link what they have in their cache.
    """
    folder = cache_folder() / "nltk_data"
    target = folder / "tokenizers/punkt_tab/english"
    if target.is_dir():
        return folder
    partial = target.with_name(f"english.{os.getpid()}.partial")
    shutil.copytree(_packaged_tokenizer(), partial)
    try:
        partial.rename(target)
    except OSError:  # another worker was faster; its folder holds the same content
        shutil.rmtree(partial)
    return folder


def _packaged_tokenizer() -> Path:
    spec = importlib.util.find_spec("llama_index")
    for folder in spec.submodule_search_locations or () if spec else ():
        data = Path(folder) / "core/_static/nltk_cache/tokenizers/punkt_tab/english"
        if data.is_dir():
            return data
    raise IfevalError(
        "no nltk data `punkt_tab`: the Python package llama-index-core, which carries it, is missing; run `make env`"
    )


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
