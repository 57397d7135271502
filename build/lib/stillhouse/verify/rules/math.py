"""Grades mathematical answers by rule: finds the final answer, parses all of it, and compares it with the reference.

A result is accepted only if all of it was parsed (`formula`), or if it has the same text as the reference. A result
that was not parsed and has another text is ungradable. The rule runs in a worker of `pool.py`, which can be killed.
"""

import re
from functools import lru_cache

from stillhouse.records import Check
from stillhouse.verify.checks import Reason, compared, make_check
from stillhouse.verify.formula import (
    Node,
    TooComplexError,
    UndefinedError,
    UnreadError,
    compare,
    is_equation,
    parse,
)
from stillhouse.verify.formula.literal import is_plain_number, quantity
from stillhouse.verify.rules.final_answer import final_answer, joined_boxes, last_boxed
from stillhouse.verify.rules.notation import clean, essence, same_text
from stillhouse.verify.rules.options import chosen_option, option_letter
from stillhouse.verify.rules.prose import (
    bold_result,
    cleaned,
    displayed_result,
    is_bare,
    is_certain,
    last_statement,
    shortened,
    stated_results,
    without_aside,
    without_possessive,
    without_reason,
)

NAME = "math_rule"
VERSION = "4"

MAX_FINAL_CHARS = 1000  # the longest reference of MATH-500 has under 100; longer texts are slow to parse and no results
MAX_LINE_CHARS = 80  # longest answer that may consist of its result only
MAX_ANSWER_CHARS = 4000  # longest answer that is compared with the reference as a whole

_LABELLED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(([A-J])\)\s*\}[\s~\\]*(.+)")
_ABBREVIATION = re.compile(r"\b(sq|cu|approx)\.(?=\s)")
_SAID = re.compile(r"(?:\b(?:is|are|was|were)|:)\s+(?!not\b)(?P<said>[^\d:]{1,60})$", re.IGNORECASE)
_CLOSED = re.compile(r"\W*(yes|no|true|false)\**\s*[,.;:!]", re.IGNORECASE)
_EDGES = " \t\n.,;:!*_`'\"()$"
_CORRECTED = re.compile(
    r"\b(?:no|wait|actually|instead|correction|sorry|rather|mistake|hmm|or is it|maybe|perhaps|unsure)\b",
    re.IGNORECASE,
)


def check_math(ground_truth: str, answer: str, prompt: str = "") -> Check:
    r"""Compare the final answer in a text (`final_answer.py`) with the reference; the score is 1 or 0.

    Args:
        ground_truth: a number, formula, set, option letter or words; in a `\boxed{}` or not.
        answer: the whole answer, without reasoning.
        prompt: the question. It shows whether an answer only repeats a task, and the order of an ordered pair.

    Returns:
        `pass` or `fail`, with the result that was read as `answer`; `ungradable` where a part of the answer was not
        read and is another text than the reference (`unread`), where the reference is empty (`bad_reference`), or where
        a text is out of bounds (`too_complex`).
    """
    boxed = last_boxed(ground_truth)
    reference = ground_truth.strip() if boxed is None else boxed
    if not re.search(r"\w|\\[A-Za-z]|[∅∞]", reference):
        return _check(None, "bad_reference", f"cannot be parsed: {reference}")
    if len(answer) <= MAX_ANSWER_CHARS and same_text(answer, reference):
        return _verdict(True, f"same text: {reference}", answer.strip())
    final, marked = final_answer(answer)
    final = joined_boxes(answer) or final
    if same_text(final, reference):
        return _verdict(True, f"same text: {final}", final)
    letter, text = option_letter(reference), reference
    if labelled := _LABELLED.fullmatch(reference):
        letter, text = labelled[1], labelled[2]  # (B) 5
    if letter and (chosen := chosen_option(answer, prompt)):
        return _verdict(chosen == letter, f"option {chosen} against {letter}", chosen)
    longest = max(len(reference), len(final))
    if longest > MAX_FINAL_CHARS:
        evidence = f"not parsed: {longest} characters, at most {MAX_FINAL_CHARS}"
        return _check(None, "too_complex", evidence)
    try:
        return _compare(text, final, marked, prompt)
    except TooComplexError as refused:
        return _check(None, "too_complex", f"not parsed: {refused}")


def _compare(reference: str, final: str, marked: bool, prompt: str) -> Check:
    expected = _read(clean(reference), _letters(final))
    if isinstance(expected, UnreadError) or expected.op == "word":
        return _compare_text(reference, expected, final, marked)
    variables = _letters(reference)
    unread: UnreadError | None = None
    for text in _candidates(final, marked):
        found = _read(text, variables)
        if isinstance(found, UnreadError):
            unread = unread or found
            continue
        return _compare_trees(reference, expected, text, found, prompt)
    if marked and unread and _is_formula(final):
        return _check(None, "unread", f"not read: {unread} in {final}", final)
    return _check(0.0, "no_final_answer", f"no result in: {final}")


def _candidates(final: str, marked: bool) -> list[str]:
    """Return the texts that may be the result, in the order of the tries; the first one that can be parsed counts."""
    final = _ABBREVIATION.sub(r"\1", final)
    if not marked:
        whole = [clean(final)] if "\n" in final.strip() and "$$" in final else []
        stated = stated_results(last_statement(final))
        short = [text for text in map(shortened, stated) if text]
        found = [*displayed_result(final), *bold_result(final), *short, *stated]
        return whole + [cleaned(without_possessive(text)) for text in (*found, *_line_alone(final))]
    bare = without_aside(without_reason(final)) if "\\" not in final else final
    candidates = [clean(bare.strip("*")), clean(final.strip("*"))]
    if re.search(r"[.!?]\s+\S", final) and _CORRECTED.search(final):
        return [cleaned(text) for text in stated_results(last_statement(final))]
    first = re.split(r"(?<=[^\d\s][.!?])\s+|(?<=\d[.!?])\s+(?=[A-Z][a-z]*\s)", final)[0]
    place = 0 if re.search(r"\d\.$", first) and first != final else len(candidates)
    candidates.insert(place, cleaned(without_reason(first)))
    if len(final.split()) > 3:
        candidates.extend(cleaned(text) for text in stated_results(without_reason(first)))
    return list(dict.fromkeys(candidates))


def _line_alone(text: str) -> list[str]:
    """Return an answer that is one short line without a verb: a formula or words only."""
    line = text.strip()
    return [line] if "\n" not in line and len(line) <= MAX_LINE_CHARS and is_bare(line) else []


def _compare_trees(reference: str, expected: Node, text: str, found: Node, prompt: str) -> Check:
    evidence = f"{text} against {clean(reference)}"
    if is_plain_number(expected) and is_equation(found):
        left = essence(text.split("=")[0])
        if left not in essence(prompt):
            return _verdict(False, f"{evidence}: an equation between variables", text)
    if _is_echo(found, text, prompt):
        return _verdict(False, f"{evidence}: it repeats the question", text)
    order = _asked_order(prompt)
    try:
        right = compare(expected, found, order)
        if not right and "," in text + reference:
            right = _as_lists(reference, text, order)
    except UnreadError as unread:
        return _check(None, "unread", f"{evidence}: not read: {unread}", text)
    except UndefinedError as undefined:
        return _verdict(False, f"{evidence}: {undefined}", text)
    return _verdict(right, evidence, text)


def _as_lists(reference: str, text: str, order: tuple[str, ...]) -> bool:
    """Repeat the comparison with `100,200` as two numbers on the side that may be a list."""
    trees = [
        _read(side, _letters(other), False)
        for side, other in ((clean(reference), text), (text, reference))
    ]
    usual = [
        _read(side, _letters(other))
        for side, other in ((clean(reference), text), (text, reference))
    ]
    if any(isinstance(tree, UnreadError) for tree in (*trees, *usual)):
        return False
    for left, right in ((trees[0], usual[1]), (usual[0], trees[1]), (trees[0], trees[1])):
        assert isinstance(left, Node)
        assert isinstance(right, Node)
        if left.op == right.op == "list" and compare(left, right, order):
            return True
    return False


def _compare_text(reference: str, expected: Node | UnreadError, final: str, marked: bool) -> Check:
    """Compare with a reference in words, or one that cannot be parsed as a formula: only the same text is right."""
    candidates = [final] if marked else [final, *_lines(final), *_said(final)]
    closed = _CLOSED.match(final)
    if closed and len({*re.findall(r"\b(?:yes|no|true|false)\b", final.casefold())}) == 1:
        candidates.append(closed[1])
    for text in candidates:
        if _free_text(reference, text):
            return _verdict(True, f"same text: {final}", text)
    given = final if marked else None
    if isinstance(expected, Node):
        for text in candidates if marked else candidates[::-1]:
            found = _read(clean(text), frozenset())
            if isinstance(found, Node) and _accepted(expected, found):
                return _verdict(True, f"{text} against {reference}", text)
    elif _is_formula(reference):
        return _check(None, "unread", f"not read: {expected} in the reference {reference}", given)
    return _verdict(False, f"{final} against {reference}", given)


def _accepted(expected: Node, found: Node) -> bool:
    try:
        return compare(expected, found)
    except (UnreadError, UndefinedError):
        return False


def _said(text: str) -> list[str]:
    """Return the words that the last sentence gives as the answer."""
    statement = last_statement(text)
    found = _SAID.search(statement)
    return [found["said"]] if found and is_certain(statement) else []


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [lines[-1]] if lines else []


def _free_text(reference: str, text: str) -> bool:
    """Return whether two texts in words are equal without case and edges; the case of words in capitals counts."""
    left, right = (" ".join(essence(side).split()).strip(_EDGES) for side in (reference, text))
    if not left or left == right:
        return left == right
    capitals = re.fullmatch(r"[^a-z]+", left) is not None and len(left) > 1
    return (
        not capitals
        and re.fullmatch(r"[^\d\\^_={}]*", left) is not None
        and left.casefold() == right.casefold()
    )


def _read(text: str, variables: frozenset[str], thousands: bool = True) -> Node | UnreadError:
    try:
        return _parse(text, variables, thousands)
    except UnreadError as unread:
        return unread


_parse = lru_cache(maxsize=256)(parse)


def _letters(text: str) -> frozenset[str]:
    """Return the letters that are variables in a text, without units and letters of words."""
    plain = re.sub(r"\\(?:text|textrm|mathrm|mbox)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    return frozenset(
        found[0]
        for found in re.finditer(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", plain)
        if plain[found.end() :].strip(" .$")
        or not re.search(r"\d\s{1,3}$", plain[max(0, found.start() - 4) : found.start()])
    )


def _is_formula(text: str) -> bool:
    return re.search(r"\\[A-Za-z]|[\d=^_]", text) is not None


def _is_echo(found: Node, text: str, prompt: str) -> bool:
    """Return whether the question contains the result literally, if the result is a fraction or not a plain number."""
    core = quantity(found).core
    if (
        not prompt
        or core.op in ("num", "sym", "const", "word")
        or (core.op == "neg" and core.args[0].op == "num")
    ):
        return False
    if not is_plain_number(core) and core.op not in ("fn", "pow", "fact"):
        return False
    asked, given = essence(prompt), essence(text)
    return re.search(rf"(?<![\w.^*/+-]){re.escape(given)}(?![\w^*/+-]|\.\d)", asked) is not None


def _asked_order(prompt: str) -> tuple[str, ...]:
    """Return the names in the last ordered pair or triple of variables of a question."""
    found = re.findall(r"\(\s*([A-Za-z](?:\s*,\s*[A-Za-z]){1,3})\s*\)", prompt)
    return tuple(re.split(r"\s*,\s*", found[-1])) if found else ()


def _verdict(right: bool, evidence: str, answer: str | None) -> Check:
    return compared(NAME, VERSION, right, evidence, answer)


def _check(
    score: float | None, reason: Reason | None, evidence: str, answer: str | None = None
) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence, answer=answer)
