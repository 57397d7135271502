"""Every right golden science answer, changed in its result: no changed one may pass.

A mutant keeps the form of the answer and changes its sign, a digit, an exponent, a unit, a letter, a word or the
order. It must be refused or left to the judge. Those that keep the meaning are listed with the reason.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stillhouse.verify.rules.options import option_letter
from stillhouse.verify.rules.science import check_science
from stillhouse.verify.rules.science_numbers import read_quantity
from tests.verify.verify_builder import golden

RIGHT = [case for case in golden("science") if case["verdict"] == "pass"]
LETTERS = [case for case in RIGHT if option_letter(case["reference"])]
NUMBERS = [case for case in RIGHT if read_quantity(case["reference"])]
CLOSED = [c for c in RIGHT if c["reference"].casefold() in ("yes", "no", "true", "false")]
TEXTS = [c for c in RIGHT if c not in LETTERS and c not in NUMBERS and c not in CLOSED]
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
MINUS = "-−–—－"

# By the description of the case: why some of its mutants pass, and a pattern for these.
SLACK = "the reference has one decimal or two, and the answer may differ by half a unit of the last"
WORKING = "the number is one of the working, and the result is the same"
REASON = "the change is in the reason that is given, and the choice is the same"
CHOICE = "the letter is the choice, and the text beside it is that of no other option"
KILO = "a capital K can only be meant as kilo"
SPELLING = "a unit in words means the same with a capital letter"
KEPT: dict[str, tuple[str, str]] = {
    "within half a unit of the last decimal": (SLACK, r".* 9\.8\d+"),
    "just within half a unit of the last decimal": (SLACK, r"3\.14[45]\d?"),
    "uncertainty of the answer alone": ("the value is the same", r"2\.5 ± 0\.\d+"),
    "two quantities, the last is asked": (WORKING, r"At .*bar the temperature is 300 K\."),
    "the result of the last sentence": (WORKING, r"We add .* The sum is 30\."),
    "result first, reason behind": (REASON, r"The answer is 300 K because .*"),
    "result, then the same in another unit": (REASON, r"The answer is 300 K\. This is .*"),
    "named in a sentence": (REASON, r"The \w+ goes round the Sun, so the correct answer is B\."),
    "bold letter, then why the others fail": (REASON, r"\*\*C\*\*\n\nA is not given off.*"),
    "bracket at the start": (REASON, r"C\) because .*"),
    "neither of two, then a conclusion": (REASON, r".*D is not inert\. Hence C\."),
    "letter in brackets with the text of its option": (CHOICE, r"\(C\) 56 N"),
    "a check mark before the letter": (CHOICE, r"✅ \*\*C\) 67 N\*\*"),
    "option behind the result": (CHOICE, r"F = 67 N, option C\."),
    "letter and text in one box": (CHOICE, r".*\(C\) 56 N.*"),
    "after a mark": ("a word before the mark lost a letter", r"Th answer is Isaac Newton\."),
    "unit in a text macro": (KILO, r".*Kg\}\}"),
    "kilowatts for megawatts, converted": (KILO, r"5000 KW"),
    "capital K as kilo": (KILO, r"5 kg"),
    "miles per hour by their symbol": (SPELLING, r"60 Miles per hour"),
    "feet in words": (SPELLING, r"5 Feet"),
    "weeks in days": (SPELLING, r"14 Days"),
    "unit in words": (SPELLING, r".* 5 Kilograms\."),
    "unit in words with a power": (SPELLING, r".* 9\.8 Meters per second squared\."),
    "degrees for a temperature": (SPELLING, r"It is -40 Degrees\."),
    "degrees Celsius in words": (SPELLING, r".* 25 Degrees Celsius\."),
}


def mutants(case: dict[str, Any]) -> Iterator[str]:
    """Yield changed outputs of a case."""
    if case in LETTERS:
        yield from letter_mutants(case)
    elif case in NUMBERS:
        yield from number_mutants(case)
    elif case in CLOSED:
        yield from closed_mutants(case["output"])
    else:
        yield from text_mutants(case["output"])


def letter_mutants(case: dict[str, Any]) -> Iterator[str]:
    """Yield the output with another letter, another option's text, both, and denied."""
    output, right = case["output"], option_letter(case["reference"])
    assert right is not None
    listed = re.findall(r"(?<!\S)\(?([A-Ja-j])[.):] *([^(\n]+)", case["prompt"])
    options = {letter.upper(): text.strip() for letter, text in listed}
    others = [letter for letter in sorted(options) or "ABCD" if letter != right]
    here, small = (rf"(?<![A-Za-z0-9'’]){x}(?![A-Za-z0-9'’])" for x in (right, right.lower()))
    for other in others:
        yield re.sub(here, other, output)
        yield re.sub(small, other.lower(), output)
        if right in options:
            text = re.compile(re.escape(options[right]), re.IGNORECASE)
            yield text.sub(lambda _, other=other: options[other], output)
            yield text.sub(lambda _, other=other: options[other], re.sub(here, other, output))
    yield re.sub(r"\d", lambda found: str((int(found[0]) + 1) % 10), output)
    yield re.sub(r"\b(is|be)\b(?!.*\b(?:is|be)\b)", r"\1 not", output, flags=re.DOTALL)
    yield re.sub(here, f"not {right}", output)
    yield re.sub(here, f"{right} or {others[0]}", output)


def number_mutants(case: dict[str, Any]) -> Iterator[str]:
    """Yield the output with another sign, digit, exponent or unit."""
    output = case["output"]
    for found in re.finditer(r"\d", output):
        changed = str((int(found[0]) + 1) % 10)
        yield output[: found.start()] + changed + output[found.end() :]
    for found in re.finditer(f"[{RAISED}]", output):
        changed = RAISED[(RAISED.index(found[0]) + 1) % 10]
        yield output[: found.start()] + changed + output[found.end() :]
    for found in re.finditer(r"(?<![\d.,^{/])\d", output):  # the beginnings of numbers
        at = found.start()
        signed = at > 0 and (output[at - 1] in MINUS or output[at - 1] == "⁻")
        if signed:
            yield output[: at - 1] + output[at:]
        else:
            yield from (output[:at] + minus + output[at:] for minus in (*MINUS, "minus "))
    yield re.sub(r"\s*(?:\\times|\\cdot|[*x×·])\s*10.*$", "", output)
    yield re.sub(r"(?:\^|\*\*)\{?[-−]?\d+\}?", "", output)
    yield re.sub(r"[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", "", output)
    yield re.sub(r"(?<=\d)[eE][-+]?\d+", "", output)
    reference = read_quantity(case["reference"])
    if reference and reference.unit:
        unit = r"(\d(?:\s|\\[, ]|\{,\})*(?:\\(?:text|mathrm)\{)?\s*)(?=[A-Za-zµμ])"
        for prefix in ("m", "k", "M", "µ"):
            yield re.sub(unit, rf"\g<1>{prefix}", output)
        yield re.sub(unit + "(.)", lambda m: m[1] + m[2].swapcase(), output)
    yield re.sub(r"(?<=\d)(?=[^\d]*$)", " or 1", output)
    yield re.sub(r"\bis\b", "is not", output)
    yield re.sub(r"(?<=\d)(?=[^\d]*$)", "7", output)


def closed_mutants(output: str) -> Iterator[str]:
    """Yield the output with the other word, and denied."""
    swapped = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
    words = r"\b(yes|no|true|false)\b"
    yield re.sub(words, lambda m: swapped[m[0].casefold()], output, flags=re.IGNORECASE)
    yield re.sub(words, r"not \1", output, flags=re.IGNORECASE)
    yield re.sub(words, lambda m: f"{m[0]} and {swapped[m[0].casefold()]}", output, flags=re.I)


def text_mutants(output: str) -> Iterator[str]:
    """Yield the output with a letter left out, a sign or charge changed, a word added, words in another order."""
    for found in re.finditer(r"[^\W\d_]{2,}", output):
        if output[found.start() - 1] != "\\":
            yield output[: found.end() - 1] + output[found.end() :]
    yield output.replace("+", "-")
    yield output.replace("+", "")
    yield re.sub(r"\bis\b", "is not", output) if " is " in output else f"not {output}"
    numbers = re.findall(r"\d+", output)
    if len(numbers) > 1:
        swapped = iter(numbers[::-1])
        yield re.sub(r"\d+", lambda _: next(swapped), output)
    words = output.split(" ")
    if len(words) > 1:
        yield " ".join(words[::-1])


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case["why"])
def test_no_mutant_of_a_right_answer_passes(case: dict[str, Any]) -> None:
    changed = {*mutants(case)} - {case["output"]}
    passed = {
        mutant
        for mutant in changed
        if (check := check_science(case["reference"], mutant, case["prompt"]))
        and check.state == "pass"
    }
    _, kept = KEPT.get(case["why"], ("", "(?!)"))
    assert changed
    assert {mutant for mutant in passed if not re.fullmatch(kept, mutant, re.DOTALL)} == set()
    assert bool(passed) == (case["why"] in KEPT)


def test_the_mutants_are_many_and_of_every_kind_of_answer() -> None:
    assert min(map(len, (LETTERS, NUMBERS, CLOSED, TEXTS))) >= 9
    total = sum(len({*mutants(case)} - {case["output"]}) for case in RIGHT)
    print(f"{total} mutants of {len(RIGHT)} right answers")
    assert total >= 1000
    assert {case["why"] for case in RIGHT} >= KEPT.keys()
    assert len(KEPT) <= len(RIGHT) / 5
