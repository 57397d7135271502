"""Math answers by rule: find the final answer, bound it, parse it, compare it with the reference.

Parsing is Math-Verify's (paper section 3). Around it stand bounds, because a symbolic engine can be kept busy for ever
by a short text, and an exact comparison, because Math-Verify compares numbers by rounding and takes 2^-99 for 2^-98.
It runs in a worker of `pool.py`, which can be killed.
"""

import re
from fractions import Fraction
from typing import Any

from stillhouse.records import Check
from stillhouse.verify.checks import Reason, make_check
from stillhouse.verify.final_answer import final_answer, last_boxed
from stillhouse.verify.notation import difference, keep_variable, plain_symbols, rewrite, unit_ratio
from stillhouse.verify.options import chosen_option, option_letter

NAME = "math_rule"
VERSION = "2"

MAX_FINAL_CHARS = 1000  # the longest reference of MATH-500 has under 100; longer texts are ramblings, slow to parse
MAX_NESTING = 20  # brackets within brackets; the parser is recursive
MAX_DIGITS = 400  # digits in a row; int to text is quadratic, and sympy factors integers
MAX_EXPONENT_DIGITS = 4  # 10^9999 is computed in a blink, 10^999999999 never
MAX_CHAINED_POWERS = 2  # x^{y^z} is common, a tower above it is computed for ever
MAX_FACTORIAL_DIGITS = 4  # 9999! has 35,656 digits
PRECISION_DIGITS = 40  # to tell two exact values apart; far above a double's 16
EXACT_RELATIVE = "1e-30"  # two exact expressions that agree to this are equal
DECIMAL_RELATIVE = "1e-5"  # a decimal may stand for an exact value when it agrees to five digits


class _OutOfBoundsError(Exception):
    """A text is outside the bounds; the message says which."""


def check_math(ground_truth: str, answer: str, prompt: str = "") -> Check:
    r"""Compare the final answer in a text (`final_answer.py`) with the reference; the score is 1 or 0.

    Where the reference is one letter A-J, the answer must name that option of the prompt. `ungradable` where the
    reference cannot be parsed or a text is out of bounds.
    """
    final, marked = final_answer(answer)
    reference = ground_truth.strip()
    boxed = last_boxed(reference)
    reference = reference if boxed is None else boxed
    if marked and _plain(final) == _plain(reference):
        return _check(1.0, None, f"same text: {final}")
    letter = option_letter(reference)
    if letter and (chosen := chosen_option(answer, prompt)):
        return _verdict(chosen == letter, f"option {chosen} against {letter}")
    reference, final = plain_symbols(reference), plain_symbols(final)
    if not marked:
        final = final.replace("**", "")  # bold type in prose, no power
    try:
        _bound(reference)
        _bound(final)
    except _OutOfBoundsError as refused:
        return _check(None, "too_complex", f"not parsed: {refused}")
    gold = _parse(keep_variable(reference, final), only=True)
    if not gold:
        return _check(None, "bad_reference", f"cannot be parsed: {reference}")
    found = _parse(keep_variable(final, reference) if marked else final, only=marked)
    if not found:
        return _check(0.0, "no_final_answer", f"no expression in: {final}")
    evidence = f"{found[-1]} against {gold[-1]}"
    if marked and (unlike := difference(reference, final)):
        return _verdict(False, f"{evidence}: {unlike}")
    try:
        return _verdict(_equal(gold, found, reference, final), evidence)
    except Exception as error:  # of the symbolic engine, over what it was given to simplify
        return _check(None, "not_comparable", f"{evidence}: {type(error).__name__}: {error}")


def _plain(text: str) -> str:
    """Return a text without what never changes its meaning: spaces, dollar signs, sizing, a final dot."""
    text = re.sub(r"\\(?:left|right|displaystyle|,|;|!|:)|\s|\$", "", text)
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = re.sub(r"^\\(?:text|mathrm|textbf)\{([^{}]*)\}$", r"\1", text)
    return text.rstrip(".")


def _bound(text: str) -> None:
    if len(text) > MAX_FINAL_CHARS:
        raise _OutOfBoundsError(f"{len(text)} characters, at most {MAX_FINAL_CHARS}")
    depth = deepest = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        raise _OutOfBoundsError(f"{deepest} nested brackets, at most {MAX_NESTING}")
    spaced = re.sub(r"\\[,;!: ]|[\s,]|\^\{?\\circ\b\s*\}?", "", text)
    if re.search(rf"\d{{{MAX_DIGITS + 1}}}", spaced):
        raise _OutOfBoundsError(f"more than {MAX_DIGITS} digits in a row")
    power = r"(?:\^|\*\*)[-+{(\\a-z]*"
    if re.search(rf"{power}\d{{{MAX_EXPONENT_DIGITS + 1}}}", spaced):
        raise _OutOfBoundsError(f"an exponent of more than {MAX_EXPONENT_DIGITS} digits")
    if re.search(r"\d[eE][-+]?\d{4}", spaced):
        raise _OutOfBoundsError("a decimal exponent of more than 3 digits")
    tower = r"(?:(?:\^|\*\*)[-+{(]*[\w.\\]+[)}!]*)" + f"{{{MAX_CHAINED_POWERS + 1}}}"
    if re.search(tower, spaced):
        raise _OutOfBoundsError(f"more than {MAX_CHAINED_POWERS} powers of powers")
    if re.search(rf"{power}[\d.]+[-+*/\d.]*(?:\^|\*\*|!)", spaced):
        raise _OutOfBoundsError("a power of numbers in an exponent")
    if re.search(r"(?:\^|\*\*)[^=]*\d[)}]+(?:\^|\*\*)[{(]*\d{3}", spaced):
        raise _OutOfBoundsError("a large power of a power")
    if re.search(rf"binom[^=]*\d{{{MAX_FACTORIAL_DIGITS + 1}}}", spaced):
        raise _OutOfBoundsError(f"a binomial of numbers above {MAX_FACTORIAL_DIGITS} digits")
    if re.search(r"[)}\]](?:\^|\*\*)[{(]*\d{3}", spaced) and re.search(
        r"(?<![\\a-z])[a-z](?![a-z])", spaced, re.IGNORECASE
    ):
        raise _OutOfBoundsError("a power of a sum above 99")
    if re.search(rf"\d{{{MAX_FACTORIAL_DIGITS + 1}}}!|[!)}}][)}}]*!|!\)*\}}*(?:\^|\*\*)", spaced):
        raise _OutOfBoundsError(
            f"a factorial above {MAX_FACTORIAL_DIGITS} digits, or of more than a number"
        )


def _parse(text: str, only: bool) -> list[Any]:
    """Return Math-Verify's readings of a text, best first. `only`: the text is nothing but the expression."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    text = rewrite(text.replace("\\$", ""))
    text = re.sub(r"(?<=\d)[eE]([-+]?\d+)\b", r" \\times 10^{\1}", text)
    tries = [f"$\\boxed{{{text}}}$", text] if only and "$" not in text else [text]
    for wrapped in tries:
        # No time limit of its own: that one is a signal, and the worker that runs us can be killed.
        found: list[Any] = parse(
            wrapped, targets, fallback_mode="no_fallback", parsing_timeout=None
        )
        if found:
            return found
    return []


def _equal(gold: list[Any], found: list[Any], reference: str, final: str) -> bool:
    scales = _scales(gold[0], reference, final)
    if any(_same(gold, scaled) for scale in scales if (scaled := _scaled(found, scale))):
        return True
    left, right = _solutions(gold[0]), _solutions(found[0])
    if left is not None and right is not None:
        return bool(left == right)
    return _same_complex(gold[0], found[0])


def _same(gold: list[Any], found: list[Any]) -> bool:
    """Whether Math-Verify says yes, and has not said so for its rounding."""
    from math_verify import verify

    if not verify(gold, found, timeout_seconds=None):
        return False
    left, right = _number(gold[0]), _number(found[0])
    return left is None or right is None or _same_number(left, right)


def _scales(gold: Any, reference: str, final: str) -> list[Fraction]:
    """Return the factors by which the number of an answer may be multiplied before it is compared.

    They are 1, the ratio of two known units, and, where only one text has a percent sign, a hundred or its inverse:
    25% may be written 25 or 0.25. But 0.25% is no match for a reference of 0.25.
    """
    asked, given = "%" in reference, "%" in final
    if asked and not given:
        return [Fraction(1), Fraction(100)]
    if given and not asked:
        number = _number(gold)
        whole = number is not None and bool(abs(number) > 1)
        return [Fraction(1), Fraction(1, 100)] if whole else [Fraction(1, 100)]
    return [unit_ratio(reference, final)]


def _scaled(found: list[Any], scale: Fraction) -> list[Any]:
    """Return parsed readings multiplied by a factor; none where they are no number and the factor is not 1."""
    if scale == 1:
        return found
    import sympy

    number = _number(found[0])
    return [] if number is None else [number * sympy.Rational(scale.numerator, scale.denominator)]


def _solutions(parsed: Any) -> Any | None:
    """Return the set that inequalities in one variable describe, or a set as it is; null for anything else."""
    import sympy
    from sympy.core.relational import Relational
    from sympy.logic.boolalg import And, Or

    if isinstance(parsed, sympy.Eq) and isinstance(parsed.rhs, sympy.Set):
        parsed = parsed.rhs  # x is a member of
    if isinstance(parsed, sympy.FiniteSet) and all(isinstance(a, Relational) for a in parsed.args):
        parsed = Or(*parsed.args)
    if isinstance(parsed, sympy.Set):
        return parsed
    parts = parsed.args if isinstance(parsed, (And, Or)) else (parsed,)
    simple = all(
        isinstance(part, Relational)
        and not isinstance(part, sympy.Eq)
        and any(side.is_Symbol for side in part.args)
        for part in parts
    )
    return parsed.as_set() if simple and len(parsed.free_symbols) == 1 else None


def _same_complex(left: Any, right: Any) -> bool:
    """Whether two values agree when the letter i in them is the imaginary unit."""
    import sympy

    values = []
    for parsed in (left, right):
        if not isinstance(parsed, sympy.Expr):
            return False
        unit = {symbol: sympy.I for symbol in parsed.free_symbols if symbol.name == "i"}
        value = parsed.subs(unit)
        if not value.is_number or value.doit().has(sympy.nan, sympy.zoo):
            return False
        values.append(sympy.N(value, PRECISION_DIGITS))
    a, b = values
    allowed = sympy.Float(EXACT_RELATIVE, PRECISION_DIGITS) * max(abs(a), abs(b))
    return bool(left.free_symbols | right.free_symbols) and bool(abs(a - b) <= allowed)


def _number(parsed: Any) -> Any | None:
    """Return a parsed value if it is one real number, else null: only those can be confused by rounding."""
    import sympy

    if isinstance(parsed, sympy.Eq):
        parsed = parsed.rhs
    if isinstance(parsed, sympy.Expr) and parsed.is_number and parsed.is_real is not False:
        return None if parsed.doit().has(sympy.nan, sympy.zoo) else parsed
    return None


def _same_number(left: Any, right: Any) -> bool:
    """Compare by relative difference, so that tiny and huge numbers are told apart.

    Math-Verify has said yes already; this only takes back a yes that came from rounding.
    """
    import sympy

    exact = not (left.has(sympy.Float) or right.has(sympy.Float))
    a, b = left.doit(), right.doit()
    if exact and a.is_Rational and b.is_Rational:
        return bool(a == b)
    a, b = sympy.N(a, PRECISION_DIGITS), sympy.N(b, PRECISION_DIGITS)
    if not (a.is_Float and b.is_Float):
        return bool(a == b)
    allowed = sympy.Float(EXACT_RELATIVE if exact else DECIMAL_RELATIVE, PRECISION_DIGITS)
    return bool(abs(a - b) <= allowed * max(abs(a), abs(b)))


def _verdict(right: bool, evidence: str) -> Check:
    return _check(1.0, None, evidence) if right else _check(0.0, "wrong_answer", evidence)


def _check(score: float | None, reason: Reason | None, evidence: str) -> Check:
    return make_check(NAME, VERSION, score, reason, evidence)
