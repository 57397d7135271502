"""Grades science answers by rule if a rule can compare the reference: an option letter, a number, or yes or no.

Any other reference is compared as text. Only equal texts are accepted; another wording may have the same meaning and is
left to a judge. A number is also left to a judge if its sign, power of ten or unit cannot be parsed.
"""

import re

from stillhouse.records import Check
from stillhouse.verify.checks import compared, make_check
from stillhouse.verify.rules.final_answer import final_answer, last_boxed
from stillhouse.verify.rules.options import chosen_option, option_letter
from stillhouse.verify.rules.phrases import MACRO, same_text
from stillhouse.verify.rules.science_numbers import Quantity, compare, read_quantity, read_result

NAME = "science_rule"
VERSION = "4"

# A longer answer is not compared as text, because it contains more than the reference.
MAX_SAME_CHARS = 2000
MAX_READ_CHARS = 20_000  # only the end of a longer answer is read
MAX_FINAL_CHARS = 2000

_CLOSED = ({"yes", "no"}, {"true", "false"})
_BOXES = re.compile(r"\\(?:boxed|fbox)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_DENIED_BOX = re.compile(
    r"(?:\b(?:not|never|neither|nor)\b|n['’]t\b)[^.;:!?,\n]{0,60}\\(?:boxed|fbox)\b", re.IGNORECASE
)
_NEGATION = re.compile(
    r"\bnot\b|n['’]t\b|\bnever\b|\bneither\b|\bnor\b|\bcannot\b|\bhardly\b|\bfar\s+from\b|\bonly\s+if\b",
    re.IGNORECASE,
)
_NUMBER_SAID = re.compile(
    r"\d|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half|dozen|hundred|thousand|"
    r"\w+teen|\w{3,5}ty|million|billion)\b",
    re.IGNORECASE,
)
_SYNONYMS = frozenset({"yes", "no", "true", "false", "correct", "incorrect", "right", "wrong"})
_PERCENT = re.compile(r"%|\bper\s?cent", re.IGNORECASE)
# "Yes, it does." and "No." but not "No gas does that."
_FIRST_WORD = re.compile(
    r"\s*(?P<said>yes|no|true|false)(?:\s*(?:[.,;:!—–-]|$|\n)|\s+(?:it|they|there|because|since|this|that|he|she|we)\b)",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(
    r"\b(?:is|be|it[’']s|would\s+say|say|so|therefore|thus|hence|[:=])[\s,:]*(?:clearly|definitely|simply|therefore|indeed)?\s*"
    r"(?P<said>yes|no|true|false)\s*(?:[.!]?\s*$|[.;,]\s|\s+(?:because|since|as)\b)",
    re.IGNORECASE,
)
_OTHERS_SAY = re.compile(
    r"\b(?:if|whether|many|some|people|students|might|may|could|would\s+be|who|doubt|suppose)\b",
    re.IGNORECASE,
)


def check_science(ground_truth: str, answer: str, prompt: str = "") -> Check | None:
    """Compare an answer with a reference by rule; null where only a judge can say. What was read is its `answer`.

    - One letter A-J: the answer must choose that option, by its letter or by its text in the prompt (`options.py`).
    - The same text as the reference is right, wherever the final answer is.
    - A number, with or without a unit: equal to it within half a unit of the reference's last decimal (an integer
      exactly), known units converted; a unit may be missing (`science_numbers.py`).
    - yes, no, true, false: the first word, or the word that the last sentence gives as the answer.
    """
    reference = ground_truth.strip()
    boxed = last_boxed(reference)
    reference = reference if boxed is None else boxed
    if letter := option_letter(reference):
        return _letter(letter, answer, prompt)
    answer = answer[-MAX_READ_CHARS:]
    if len(answer) <= MAX_SAME_CHARS and same_text(answer, reference):
        return _verdict(True, "the answer is the reference", answer.strip())
    last = re.split(r"\n\s*\n", answer.strip()[-MAX_FINAL_CHARS:])[-1]
    if len({box.strip() for box in _BOXES.findall(last)}) > 1:
        return None  # several results
    if _DENIED_BOX.search(last):
        return None  # "It is not \\boxed{5}"
    final, marked = final_answer(answer)
    final = final[:MAX_FINAL_CHARS].strip()
    if same_text(final, reference):
        return _verdict(True, f"same text: {final}", final)
    if quantity := read_quantity(reference):
        return _quantity(quantity, reference, final, marked, bool(_PERCENT.search(prompt)))
    said = reference.strip(".").casefold()
    for closed in _CLOSED:
        if said in closed:
            return _closed(said, closed, final)
    return None


def _letter(reference: str, answer: str, prompt: str) -> Check:
    found = chosen_option(answer, prompt)
    if found is None:
        return _nothing(f"no option named in: {answer.strip()[-100:]}")
    return _verdict(found == reference, f"{found} against {reference}", found)


def _quantity(
    expected: Quantity, reference: str, final: str, marked: bool, percent: bool
) -> Check | None:
    given = read_result(final, marked)
    if given is None:
        if _NUMBER_SAID.search(final):
            return None
        return _nothing(f"no number in: {final}")
    same = compare(expected, given, percent)
    if same == "unknown":
        return None
    return _verdict(same, f"{final[-100:]} against {reference}", given.text)


def _closed(reference: str, closed: set[str], final: str) -> Check | None:
    text = MACRO.sub(r"\1", final).replace("*", "").replace("$", "").strip().strip("_`\"“”' ")
    said = {word for word in re.findall(r"[a-z]+", text.casefold()) if word in closed}
    first, last = _FIRST_WORD.match(text), _LAST_WORD.search(text)
    read = [m["said"].casefold() for m in (first, last) if m and m["said"].casefold() in closed]
    if not read:
        # "Not true" may be false; "not necessarily yes" is neither.
        # "Yes" may mean that a statement is true.
        spoken = {*re.findall(r"[a-z]+", text.casefold())}
        open_to_judge = (said and "no" not in closed and _NEGATION.search(text)) or (
            spoken & (_SYNONYMS - closed)
        )
        return None if open_to_judge else _nothing(f"neither of {sorted(closed)} in: {final[:100]}")
    if text.endswith("?"):
        return None
    if len(set(read)) > 1 or (len(said) > 1 and not last):
        return _nothing(f"both of {sorted(closed)} in: {final[:100]}")
    if not first:
        sentence = re.split(r"[.!?]\s", text)[-1]
        if _NEGATION.search(sentence) or _OTHERS_SAY.search(sentence):
            return None
    elif read[0] in ("yes", "true") and _NEGATION.search(re.split(r"[.;!?\n]", text)[0]):
        return None  # "Yes, it does not."
    return _verdict(read[-1] == reference, f"{read[-1]} against {reference}", read[-1])


def _verdict(right: bool, evidence: str, answer: str) -> Check:
    return compared(NAME, VERSION, right, evidence, answer)


def _nothing(evidence: str) -> Check:
    return make_check(NAME, VERSION, 0.0, "no_final_answer", evidence)
