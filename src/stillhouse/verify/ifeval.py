"""Instruction-following answers: the 25 IFEval checkers, strict, with nothing fetched and nothing drawn at random.

The checkers are those of the package if-verifiable. Two of their habits are taken from them: they load tokenizer data
from the network (here: from a copy that another installed package carries), and they choose a random value for an
argument that is missing (here: an error).
"""

import functools
import importlib.util
import inspect
import os
import shutil
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.models.weights import cache_folder
from stillhouse.records import Check, Constraint

NAME = "ifeval"
VERSION = "1"

MAX_ANSWER_CHARS = 100_000  # some checkers are quadratic in the text
MAX_EVIDENCE_CHARS = 400
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
            checker.build_description(**constraint.kwargs)
        except (TypeError, ValueError) as error:
            return _check(None, "bad_constraint", f"{constraint.id}: {error}")
        if not (answer.strip() and checker.check_following(answer)):
            broken.append(constraint.id)
    followed = len(constraints) - len(broken)
    score = followed / len(constraints)
    if not broken:
        return _check(score, None, f"{followed} of {len(constraints)} followed")
    return _check(
        score,
        "constraints_broken",
        f"{followed} of {len(constraints)} followed; not {', '.join(broken)}",
    )


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


def _check(score: float | None, reason: str | None, evidence: str) -> Check:
    return Check(
        verifier=NAME,
        version=VERSION,
        state="ungradable" if score is None else "pass" if score == 1.0 else "fail",
        score=score,
        reason=reason,
        evidence=evidence[:MAX_EVIDENCE_CHARS],
    )
