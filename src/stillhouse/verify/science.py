"""Science answers by rule, where the reference is of a kind that a rule can compare: a letter, a number, a yes or no.

A short phrase is compared too, but only to say yes: another wording may mean the same, and is left to a judge.
"""

import re
from decimal import Decimal

from stillhouse.records import Check
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.final_answer import final_answer
from stillhouse.verify.options import chosen_option, option_letter, words

NAME = "science_rule"
VERSION = "2"

MAX_PHRASE_WORDS = 6

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?"
    r"(?:\s*(?:[eE]|(?:×|\*|x|\\times)\s*10\s*\^?\s*)\{?[-+]?\d{1,3}\}?)?"
)
_UNIT = r"[^\d\s,;](?:[^\d,;]|(?<=[\^{a-z-])\d){0,19}"  # of digits only exponents
_QUANTITY = re.compile(rf"(?:[^\W\d]\w*\s*=\s*)?({_NUMBER})\s*({_UNIT})?")
_TWO_NUMBERS = re.compile(
    rf"{_NUMBER}[^\d.]{{0,12}}?(?:,|\bor\b|\band\b|\bto\b|–|/)\s*{_NUMBER}(?!.*\d)"
)
_NEGATION = re.compile(r"\bnot\b|n't\b|\bnever\b", re.IGNORECASE)
_CLOSED = ({"yes", "no"}, {"true", "false"})


def check_science(ground_truth: str, answer: str, prompt: str = "") -> Check | None:
    """Compare an answer with a reference by rule; null where only a judge can say.

    - One letter A-J: the answer must name that letter, or repeat the text of that option of the prompt.
    - A number, with or without a unit: equal to it within half a unit of the reference's last decimal (an integer
      exactly); the unit may be missing, but not be another one.
    - yes, no, true, false: the first or the last word of the final answer.
    - A phrase of at most six words: the same words are a yes; otherwise null.
    """
    reference = ground_truth.strip()
    final, _ = final_answer(answer)
    final = final.strip().strip("*").strip()
    if letter := option_letter(reference):
        return _letter(letter, answer, final, prompt)
    if quantity := _QUANTITY.fullmatch(reference):
        return _quantity(quantity, final)
    for closed in _CLOSED:
        if words(reference) and set(words(reference)) <= closed and len(words(reference)) == 1:
            return _closed(words(reference)[0], closed, final)
    if 0 < len(words(reference)) <= MAX_PHRASE_WORDS and words(reference) == words(final):
        return _check(True, f"same words: {final}")
    return None


def _letter(reference: str, answer: str, final: str, prompt: str) -> Check:
    found = chosen_option(answer, prompt)
    if found is None:
        return _check(False, f"no option named in: {final}", "no_final_answer")
    return _check(found == reference, f"{found} against {reference}")


def _quantity(reference: re.Match[str], final: str) -> Check | None:
    found = _QUANTITY.fullmatch(final.strip("$. ")) or _last_quantity(final)
    if re.search(r"\d\s*/\s*\d|\\frac", final) or _NEGATION.search(final):
        return None
    if not _QUANTITY.fullmatch(final.strip("$. ")) and _TWO_NUMBERS.search(final):
        return None  # a range or a choice of numbers
    if found is None:
        return _check(False, f"no number in: {final}", "no_final_answer")
    expected, given = _decimal(reference[1]), _decimal(found[1])
    step = expected.as_tuple().exponent
    assert isinstance(step, int)  # the pattern admits no infinity
    slack = Decimal((0, (5,), step - 1)) if "." in reference[1] else Decimal(0)
    same = abs(expected - given) <= slack
    left, right = _unit(reference[2]), _unit(found[2])
    if left and right and left != right:
        return None  # 5 m and 500 cm: a judge may know
    return _check(same, f"{found[0].strip()} against {reference[0].strip()}")


def _last_quantity(final: str) -> re.Match[str] | None:
    """Return the last number in a sentence, with the word that follows as its unit; an exponent is no number."""
    pattern = rf"(?<![\w.^])({_NUMBER})(?!\w*\d)(?:\s*([^\s\d.,;)]\S{{0,12}}))?"
    every = list(re.finditer(pattern, final))
    return every[-1] if every else None


def _decimal(text: str) -> Decimal:
    text = re.sub(r"[\s,{}]", "", text)
    return Decimal(re.sub(r"(?:×|\*|x|\\times)10\^?", "e", text))


def _unit(text: str | None) -> str:
    return re.sub(r"\\(?:text|mathrm)|[\s{}$.,;!)\\*]", "", text or "").casefold()


def _closed(reference: str, closed: set[str], final: str) -> Check | None:
    if _NEGATION.search(final) and "no" not in closed:
        return None  # "not true"
    said = words(final)
    ends = [word for word in (said[:1] + said[-1:]) if word in closed]
    if not ends or len(set(ends)) > 1:
        return _check(False, f"neither of {sorted(closed)} in: {final}", "no_final_answer")
    return _check(ends[0] == reference, f"{ends[0]} against {reference}")


def _check(right: bool, evidence: str, reason: Reason = "wrong_answer") -> Check:
    return make_check(NAME, VERSION, float(right), None if right else reason, evidence)
