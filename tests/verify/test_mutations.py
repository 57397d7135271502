"""A right golden answer with one sign, digit, exponent, unit, letter or place changed must not pass.

A mutation that keeps the meaning is listed below with its reason. Science has a file of its own.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stillhouse.verify.rules.final_answer import last_boxed
from stillhouse.verify.rules.math import check_math
from tests.verify.verify_builder import golden

NO_VARIABLE = "the reference names no variable, so any name may be given to its value"
NO_UNIT = "the reference has no unit, so any unit may stand beside its number"
OPTION = "the letter of an option decides, whatever stands beside it"
SAME_SET = "the intervals overlap, and their union is the same"
# (the case's `why`, the mutated result): why the mutation keeps the meaning, or leaves it open.
KEEPS_ITS_MEANING: dict[tuple[str, str], str] = {
    ("value named on the left", "z = 7"): NO_VARIABLE,
    ("a named sum and its value", "z = 2+4 = 6"): NO_VARIABLE,
    ("interval as an inequality", r"-1 \le z \le 3"): NO_VARIABLE,
    ("membership of an interval", r"z \in (0, 5)"): NO_VARIABLE,
    ("membership of a set", r"z \in \{1,2\}"): NO_VARIABLE,
    ("chain of inequalities in Unicode", "-1 ≤ z ≤ 3"): NO_VARIABLE,
    ("half-open ray as an inequality", r"z \geq 3"): NO_VARIABLE,
    ("half-open ray, the variable on the right", r"3 \le z"): NO_VARIABLE,
    ("roots each named", "z = 1, x = 2"): NO_VARIABLE,
    ("roots each named", "x = 1, z = 2"): NO_VARIABLE,
    ("numbered roots", "z_1 = 3, x_2 = 8"): NO_VARIABLE,
    ("numbered roots", "x_1 = 3, z_2 = 8"): NO_VARIABLE,
    ("numbered roots in another order", "z_1 = 8, x_2 = 3"): NO_VARIABLE,
    ("numbered roots in another order", "x_1 = 8, z_2 = 3"): NO_VARIABLE,
    ("a point with its names", "(z,y)=(4,9)"): NO_VARIABLE,
    ("a point with its names", "(x,w)=(4,9)"): NO_VARIABLE,
    ("a sum of names with its value", "-p+q=17"): NO_VARIABLE,
    ("a sum of names with its value", "p-q=17"): NO_VARIABLE,
    ("a value of a function", "f(5) = 17"): NO_VARIABLE,
    ("a length with its bars", "|QP| = 17"): NO_VARIABLE,
    ("a probability with its event", r"P(X > 5) = \frac{1}{6}"): NO_VARIABLE,
    ("unit in the answer", r"5 \text{ km}"): NO_UNIT,
    ("unit spelled out", r"12\text{ square miles}"): NO_UNIT,
    ("unit in roman type", r"12\,\mathrm{cm}"): NO_UNIT,
    ("degrees as a word", r"45 \text{ radians}"): NO_UNIT,
    ("unit of area in the answer only", r"12\text{ cm}^3"): NO_UNIT,
    ("unit of area in the answer only", r"12\text{ km}^2"): NO_UNIT,
    ("kilograms without a macro", "3 g"): NO_UNIT,
    ("a currency behind the number", r"25\text{ euros}"): NO_UNIT,
    ("acceleration with its unit", r"9.8\text{ m/s}^3"): NO_UNIT,
    ("letter with its value", r"\textbf{(B) } 22"): OPTION,
    ("letter with its value", r"\textbf{(B) } 13"): OPTION,
    ("touching intervals joined", r"(0,3]\cup(2,5)"): SAME_SET,
}

UNITS = {"cm": "km", "m": "km", "km": "cm", "hours": "days", "minutes": "hours", "feet": "miles", "inches": "feet",
         "dollars": "euros", "cents": "dollars", "kg": "g", "g": "kg", "degrees": "radians"}  # fmt: skip
LETTERS = {"x": "z", "y": "w", "n": "p", "a": "d", "b": "q", "r": "t", "k": "p"}
LEAST = 500  # mutations in all, so that the test does not come to rest on a handful


def sign_flipped(result: str) -> Iterator[str]:
    """Yield a result with its first sign lost or gained, and with one plus or minus inside turned."""
    yield result[1:] if result.startswith("-") else f"-{result}"
    for found in re.finditer(r"(?<=[\w})])\s*([+-])\s*(?=[\w\\(])", result):
        turned = "-" if found[1] == "+" else "+"
        yield result[: found.start(1)] + turned + result[found.end(1) :]


def digit_changed(result: str) -> Iterator[str]:
    """Yield a result with one digit raised by one, a nine lowered, for each digit outside exponents."""
    for found in re.finditer(r"(?<![\^_])(?<!\^\{)\d", result):
        changed = "8" if found[0] == "9" else str(int(found[0]) + 1)
        yield result[: found.start()] + changed + result[found.end() :]


def exponent_changed(result: str) -> Iterator[str]:
    for found in re.finditer(r"(?<=\^)\d|(?<=\^\{)\d", result):
        yield result[: found.start()] + str(int(found[0]) + 1) + result[found.end() :]


def unit_changed(result: str) -> Iterator[str]:
    for found in re.finditer(r"(?<=[\d}\s{])(?<!\\)\b[a-z]+\b(?=[\s}^]|$)", result):
        if found[0] in UNITS and re.search(r"\d", result[: found.start()]):
            yield result[: found.start()] + UNITS[found[0]] + result[found.end() :]


def letter_changed(result: str) -> Iterator[str]:
    """Yield a result with one variable renamed in one place, and with one letter of a word of capitals changed."""
    for found in re.finditer(r"(?<![A-Za-z\\])[a-z](?![A-Za-z])", result):
        if found[0] in LETTERS:
            yield result[: found.start()] + LETTERS[found[0]] + result[found.end() :]
    for found in re.finditer(r"(?<![A-Za-z\\])[A-Z]{2,}(?![A-Za-z])", result):
        word = found[0]
        if len(set(word)) > 1:
            yield result[: found.start()] + word[1:] + word[0] + result[found.end() :]


def order_changed(result: str) -> Iterator[str]:
    """Yield an ordered pair or triple with its first two members swapped."""
    found = re.fullmatch(
        r"(?P<open>\\left\(|\(|\\langle )\s*(?P<a>[^,()]+),\s*(?P<b>[^,()]+?)"
        r"(?P<rest>(,[^()]*)?(?:\\right\)|\)|\\rangle))",
        result,
    )
    if found and found["a"].strip() != found["b"].strip():
        yield f"{found['open']}{found['b']}, {found['a']}{found['rest']}"


MUTATIONS = (
    sign_flipped,
    digit_changed,
    exponent_changed,
    unit_changed,
    letter_changed,
    order_changed,
)


def right_results() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each right golden case with the result that its mutants replace."""
    for case in golden("math"):
        result = last_boxed(case["output"])
        if case["verdict"] != "pass" or "said" in case:
            continue
        if result is not None and case["output"].count("\\boxed") == 1:
            yield case, result
        elif "boxed" not in case["output"] and re.fullmatch(
            r"(?!.*(?:answer|fbox))[-+\d.,/()\[\]\\a-zπ√{} ^=]{1,40}", case["output"]
        ):
            yield case, case["output"]


def mutants() -> Iterator[tuple[str, dict[str, Any], str, str]]:
    for case, result in right_results():
        made = {result}
        for mutate in MUTATIONS:
            for mutant in mutate(result):
                if mutant not in made:
                    made.add(mutant)
                    yield mutate.__name__, case, mutant, case["output"].replace(result, mutant)


@pytest.mark.parametrize("kind", [mutate.__name__ for mutate in MUTATIONS])
def test_a_changed_result_does_not_pass(kind: str) -> None:
    wrong = [
        (case["why"], mutant, case["reference"])
        for name, case, mutant, output in mutants()
        if name == kind
        and (case["why"], mutant) not in KEEPS_ITS_MEANING
        and check_math(case["reference"], output, case.get("prompt", "")).state == "pass"
    ]
    assert wrong == []


def test_every_listed_mutation_is_made_and_passes() -> None:
    made = {(case["why"], mutant): (case, output) for _, case, mutant, output in mutants()}
    assert len(made) >= LEAST
    for key in KEEPS_ITS_MEANING:
        case, output = made[key]
        assert check_math(case["reference"], output, case.get("prompt", "")).state == "pass", key
