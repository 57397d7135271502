"""Grades instruction-following answers with the 25 strict IFEval checkers, without network access or random choices.

The checkers come from the package if-verifiable. Three of their properties are changed. They load tokenizer data from
the network; here it comes from a copy in another installed package. They choose a random value for an argument that is
missing or invalid; here the result is `bad_constraint`, or this module checks a letter outside a-z itself. They import
far more than they use; here these imports are skipped.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.files import partial
from stillhouse.models.weights import cache_folder
from stillhouse.records import Check, Constraint
from stillhouse.verify.checks import Reason, make_check

NAME = "ifeval"
VERSION = "3"

MAX_ANSWER_CHARS = 100_000  # some checkers are quadratic in the length of the text
LANGUAGE_SEED = 0  # langdetect samples the text
RELATIONS = ("less than", "at least")
# Markers for which the package has its own patterns; any other marker is matched literally.
POSTSCRIPTS = ("P.S.", "P.P.S")
LETTER_FREQUENCY = "keywords:letter_frequency"

_RELATION_ARGUMENTS = frozenset({"relation", "let_relation", "capital_relation"})
_LIST_ARGUMENTS = frozenset({"keywords", "forbidden_words"})
_COUNT_ARGUMENTS = frozenset({"frequency", "let_frequency", "capital_frequency", "nth_paragraph"})


class IfevalError(StillhouseError):
    """The checkers' data is not installed; the message says what is missing."""


def check_constraints(constraints: list[Constraint], answer: str) -> Check:
    """Check an answer against every constraint; the score is the share of met constraints (paper section 3, strict).

    The check is `ungradable` if a constraint is unknown, or if its arguments are incomplete, have a wrong type, or
    cannot be checked.
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
        if fault := _fault(wanted, constraint.kwargs):
            return _check(None, "bad_constraint", f"{constraint.id}: {fault}")
        try:
            followed = _follows(checker, constraint, answer)
        except RecursionError:  # JSON that is nested too deeply for any parser
            followed = False
        except _DrawError as error:
            return _check(None, "bad_constraint", f"{constraint.id}: {error}")
        except Exception as error:  # an error of the package on an unexpected text
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


def warm() -> None:
    """Import the modules of the checkers and load their models, so that this does not count as time of an answer.

    Raises:
        IfevalError: the data is not installed.
        OSError: the data cannot be copied into the cache.
    """
    for id, kwargs in (
        ("length_constraints:number_sentences", {"num_sentences": 1, "relation": "at least"}),
        ("language:response_language", {"language": "en"}),
        ("change_case:capital_word_frequency", _WARM_CAPITALS),
    ):
        check_constraints([Constraint(id=id, kwargs=kwargs)], "This is a sentence. Here is ONE.")


_WARM_CAPITALS = {"capital_frequency": 1, "capital_relation": "at least"}


def _fault(wanted: set[str], given: dict[str, Any]) -> str | None:
    """Return the fault of a constraint's arguments, or None if they are complete and can be checked."""
    if wanted != set(given):
        return f"has {sorted(given)}, needs {sorted(wanted)}"
    for name, value in sorted(given.items()):
        if right := _type_fault(name, value):
            return f"{name} is {value!r}, not {right}"
    if "nth_paragraph" in given and not 1 <= given["nth_paragraph"] <= given["num_paragraphs"]:
        return f"there is no paragraph {given['nth_paragraph']} of {given['num_paragraphs']}"
    return None


def _type_fault(name: str, value: Any) -> str | None:
    """Return a description of the valid values of an argument, or None if its value is valid."""
    if name in _RELATION_ARGUMENTS:
        return None if value in RELATIONS else f"one of {RELATIONS}"
    if name in _COUNT_ARGUMENTS or name.startswith("num_"):
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if whole else "a whole number from 0"
    if name in _LIST_ARGUMENTS:
        filled = isinstance(value, list) and value and all(map(_is_filled, value))
        return None if filled else "a list of words"
    if name == "letter":
        return None if isinstance(value, str) and len(value) == 1 else "one character"
    if name == "language":
        return None if value in _languages() else f"one of {', '.join(sorted(_languages()))}"
    return None if _is_filled(value) else "a text"


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _follows(checker: Any, constraint: Constraint, answer: str) -> bool:
    if not _may_follow(constraint, answer):
        return False
    if constraint.id == LETTER_FREQUENCY and not re.fullmatch(
        "[A-Za-z]", constraint.kwargs["letter"]
    ):
        return _letter_follows(answer, **constraint.kwargs)
    checker.build_description(**_literal(constraint.kwargs))
    shorten = _SHORTENED.get(constraint.id)
    return bool(checker.check_following(shorten(answer) if shorten else answer))


def _may_follow(constraint: Constraint, answer: str) -> bool:
    """Return whether the text can meet a constraint: an empty text meets none, one without letters has no language."""
    if constraint.id == "language:response_language":
        return any(character.isalpha() for character in answer)
    return bool(answer.strip())


def prepare() -> None:
    """Import the checkers and their data, which takes seconds; a worker does this before the time of an item starts."""
    _registry()


def _letter_follows(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Check the frequency of a letter. The package's checker would count a random letter instead of one outside a-z."""
    found = answer.lower().count(letter.lower())
    return found < let_frequency if let_relation == RELATIONS[0] else found >= let_frequency


def _literal(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with escaped words: the checkers use words as patterns, and "C++" is not a valid pattern."""
    escaped = dict(kwargs)
    if "keywords" in kwargs:
        escaped["keywords"] = [*map(re.escape, kwargs["keywords"])]
    if "forbidden_words" in kwargs:
        escaped["forbidden_words"] = [*map(_whole_word, kwargs["forbidden_words"])]
    for name in {"keyword", "section_spliter"} & kwargs.keys():
        escaped[name] = re.escape(kwargs[name].strip())
    if "postscript_marker" in kwargs and kwargs["postscript_marker"].strip() not in POSTSCRIPTS:
        escaped["postscript_marker"] = re.escape(kwargs["postscript_marker"].strip())
    return escaped


def _whole_word(word: str) -> str:
    r"""Return a pattern for a forbidden word, which the package puts between \b and \b.

    \b never matches next to the signs of "C++". For such a word the pattern makes each \b part of an alternative that
    never matches.
    """
    if re.match(r"\w", word) and re.search(r"\w$", word):
        return re.escape(word)
    return rf"(?!)|(?<!\w){re.escape(word)}(?!\w)|(?!)"


# Some patterns of the package scan the rest of a line, or white space, again from each character. Text that cannot be
# part of a match is therefore removed before.


def _up_to(last: str) -> Callable[[str], str]:
    """Return a function that cuts each line of a text after its last occurrence of `last`."""

    def shorten(text: str) -> str:
        return "\n".join(
            line[: line.rindex(last) + len(last)] if last in line else ""
            for line in text.split("\n")
        )

    return shorten


def _without_blank_lines(text: str) -> str:
    """Return a text in which several consecutive empty lines are one."""
    return re.sub(r"(\n[^\S\n]*\n)\s*\n", r"\1", text)


def _without_blanks(text: str) -> str:
    """Return a text in which more than two consecutive white-space characters are two."""
    return re.sub(r"(\s\s)\s+", r"\1", text)


_SHORTENED: dict[str, Callable[[str], str]] = {
    "detectable_content:number_placeholders": _up_to("]"),
    "detectable_format:title": _up_to(">>"),
    "detectable_format:number_bullet_lists": _without_blank_lines,
    "detectable_content:postscript": _without_blanks,
}


class _DrawError(Exception):
    """The package tried to choose an argument at random."""


class _NoChance:
    """Replaces the module `random` in the package: every call is an error."""

    def __getattr__(self, name: str) -> Any:
        raise _DrawError(f"an argument would be drawn at random (random.{name})")


@functools.cache
def _registry() -> dict[str, Any]:
    """Return the checkers by constraint id, changed to use local data and no random numbers."""
    registry: dict[str, Any] = _package().INSTRUCTION_DICT
    return registry


def _languages() -> frozenset[str]:
    """Return the codes of the languages that a constraint may ask for."""
    codes: frozenset[str] = frozenset(_package().instructions.instructions_util.LANGUAGE_CODES)
    return codes


@functools.cache
def _package() -> Any:
    # nltk uses scipy for measures of association, and if-verifiable uses datasets to download benchmarks. No checker
    # needs them, and their import takes four times as long as all other imports.
    with _hidden("scipy"):
        import nltk
    with _without_init("if_verifiable"):
        registry = importlib.import_module("if_verifiable.ifeval.instructions_registry")
    nltk.data.path.insert(0, str(_tokenizer_data().resolve()))
    registry.instructions.random = _NoChance()
    registry.instructions.logging = _silent()
    registry.instructions.instructions_util.random = _NoChance()
    _load_languages()
    return registry


def _silent() -> logging.Logger:
    """Return a silent replacement of `logging` in the package, which would otherwise print whole answers."""
    logger = logging.getLogger("stillhouse.verify.rules.ifeval.package")
    logger.disabled = True
    return logger


def _load_languages() -> None:
    """Load langdetect's profiles sorted by name, because the order of a folder differs between file systems."""
    import langdetect
    from langdetect import detector_factory

    langdetect.DetectorFactory.seed = LANGUAGE_SEED
    factory = detector_factory.DetectorFactory()
    profiles = sorted(Path(detector_factory.PROFILES_DIRECTORY).iterdir())
    factory.load_json_profile([profile.read_text(encoding="utf-8") for profile in profiles])
    detector_factory._factory = factory


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Make imports of a module fail, unless it is imported already."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


@contextlib.contextmanager
def _without_init(name: str) -> Iterator[None]:
    """Allow imports of a package's modules without running its `__init__`, unless that has run already."""
    if name in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise IfevalError(f"the Python package {name} is missing; run `make env`")
    package = ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]


def _tokenizer_data() -> Path:
    """Return a folder with nltk's punkt_tab, copied from the package llama_index without importing the package.

    It is a copy because nltk refuses files with several hard links, and installers create such links to their cache.
    """
    folder = cache_folder() / "nltk_data"
    target = folder / "tokenizers/punkt_tab/english"
    if target.is_dir():
        return folder
    with partial(target, replace=False) as new:
        shutil.copytree(_packaged_tokenizer(), new)
    return folder


def _packaged_tokenizer() -> Path:
    spec = importlib.util.find_spec("llama_index")
    for folder in spec.submodule_search_locations or () if spec else ():
        data = Path(folder) / "core/_static/nltk_cache/tokenizers/punkt_tab/english"
        if data.is_dir():
            return data
    raise IfevalError(
        "no nltk data `punkt_tab`: the Python package llama-index-core, which contains it, is missing; run `make env`"
    )


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
