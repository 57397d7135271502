r"""Worked solutions of generated questions, by our own code and from the facts that the generator gives.

Each solves the question again in short steps, so that a difference from the reference answer is a defect of one of the
two and is raised. `think` holds the steps; `answer` ends with the result in `\boxed{}`.
"""

import math
from collections.abc import Callable
from typing import Any

from stillhouse.queries.gym import GymError, Question
from stillhouse.records import Trace


def worked_solution(generator: str, question: Question) -> Trace | None:
    """Return a worked solution, or None where we have no steps for this generator or this question of it.

    Raises:
        GymError: the steps end at another answer than the generator's.
    """
    solve = _SOLVERS.get(generator)
    if solve is None:
        return None
    solved = solve(question.facts)
    if solved is None:
        return None
    think, result = solved
    if str(result) != question.answer:
        raise GymError(
            f"generator {generator!r}: our steps give {result}, the reference is {question.answer}, "
            f"for {question.prompt!r}; take another generator and report this"
        )
    return Trace(think=think, answer=f"The answer is \\boxed{{{result}}}.")


def _chain_sum(facts: dict[str, Any]) -> tuple[str, int]:
    first, *rest = facts["expression"].split()
    total = int(first)
    steps = [f"I start with {total}."]
    for sign, term in zip(rest[::2], map(int, rest[1::2]), strict=True):
        result = total + term if sign == "+" else total - term
        steps.append(f"{total} {sign} {_bracketed(term)} = {result}.")
        total = result
    return " ".join(steps), total


def _sum_of_terms(facts: dict[str, Any]) -> tuple[str, int] | None:
    """Return bare equations from left to right, without a word around them; only sums and differences have steps."""
    first, *rest = facts["expression"].split()
    if not all(term.isdecimal() for term in [first, *rest[1::2]]) or not {*rest[::2]} <= {"+", "-"}:
        return None
    total = int(first)
    steps = []
    for sign, term in zip(rest[::2], map(int, rest[1::2]), strict=True):
        result = total + term if sign == "+" else total - term
        steps.append(f"{total} {sign} {term} = {result}.")
        total = result
    return " ".join(steps), total


def _products(facts: dict[str, Any]) -> tuple[str, int]:
    first, *rest = (int(term) for term in facts["expression"].split(" * "))
    total = first
    steps = []
    for term in rest:
        steps.append(_product_steps(total, term))
        total *= term
    return " ".join(steps), total


def _product_steps(left: int, right: int) -> str:
    """Return the steps of one product: repeated addition for small factors, else by the digits of the right one."""
    result = left * right
    if 2 <= right <= 9 and 0 <= left <= 9:
        return f"{left} * {right} is {right} times {left}: {' + '.join([str(left)] * right)} = {result}."
    parts = [
        int(digit) * 10**place
        for place, digit in enumerate(reversed(str(abs(right))))
        if digit != "0"
    ]
    if right < 0 or len(parts) < 2:
        return f"{left} * {_bracketed(right)} = {result}."
    pieces = [f"{left} * {part} = {left * part}" for part in reversed(parts)]
    total = " + ".join(_bracketed(left * part) for part in reversed(parts))
    return f"{', '.join(pieces)}; {total} = {result}."


def _letter_counting(facts: dict[str, Any]) -> tuple[str, int]:
    letter = facts["target_letter"]
    counts = [word.lower().count(letter) for word in facts["span"]]
    steps = [
        f"{'-'.join(word.lower())} has {count}."
        for word, count in zip(facts["span"], counts, strict=True)
    ]
    if len(counts) > 1:
        steps.append(f"{' + '.join(map(str, counts))} = {sum(counts)}.")
    return f'I look for "{letter}" in each word. ' + " ".join(steps), sum(counts)


def _gcd(facts: dict[str, Any]) -> tuple[str, int]:
    first, *rest = facts["numbers"]
    divisor = first
    steps = []
    for number in rest:
        a, b = max(divisor, number), min(divisor, number)
        while b:
            steps.append(f"{a} = {a // b} * {b} + {a % b}.")
            a, b = b, a % b
        divisor = a
        steps.append(f"The remainder is 0, so the last divisor is {divisor}.")
    return " ".join(steps), divisor


def _lcm(facts: dict[str, Any]) -> tuple[str, int]:
    first, *rest = facts["numbers"]
    multiple = first
    steps = []
    for number in rest:
        shared = math.gcd(multiple, number)
        result = multiple * number // shared
        steps.append(
            f"{multiple} and {number} share the factor {shared}: {multiple} * {number} / {shared} = {result}."
        )
        multiple = result
    return " ".join(steps), multiple


def _bracketed(number: int) -> str:
    return f"({number})" if number < 0 else str(number)


_SOLVERS: dict[str, Callable[[dict[str, Any]], tuple[str, int] | None]] = {
    "basic_arithmetic": _sum_of_terms,
    "chain_sum": _chain_sum,
    "products": _products,
    "letter_counting": _letter_counting,
    "gcd": _gcd,
    "lcm": _lcm,
}
