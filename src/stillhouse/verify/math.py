"""Math answers by rule: find the final answer, bound it, parse it, compare it with the reference.

Parsing is Math-Verify's (paper section 3). Around it stand bounds, because a symbolic engine can be kept busy for ever
by a short text, and an exact comparison, because Math-Verify compares numbers by rounding and takes 2^-99 for 2^-98.
It runs in a worker of `pool.py`, which can be killed.
"""

import re
from typing import Any

from stillhouse.records import Check

NAME = "math_rule"
VERSION = "1"

MAX_FINAL_CHARS = 1000  # the longest reference of MATH-500 has under 100; longer texts are ramblings, slow to parse
TAIL_CHARS = 400  # without a marked final answer only the last paragraph can hold one
MAX_NESTING = 20  # brackets within brackets; the parser is recursive
MAX_DIGITS = 400  # digits in a row; int to text is quadratic, and sympy factors integers
MAX_EXPONENT_DIGITS = 4  # 10^9999 is computed in a blink, 10^999999999 never
MAX_CHAINED_POWERS = 2  # x^{y^z} is common, a tower above it is computed for ever
MAX_FACTORIAL_DIGITS = 4  # 9999! has 35,656 digits
PRECISION_DIGITS = 40  # to tell two exact values apart; far above a double's 16
EXACT_RELATIVE = "1e-30"  # two exact expressions that agree to this are equal
DECIMAL_RELATIVE = "1e-5"  # a decimal may stand for an exact value when it agrees to five digits
MAX_EVIDENCE_CHARS = 300

_MARKED = re.compile(
    r"(?:final\s+answer|the\s+answer|answer)\s*(?:\*\*)?\s*(?:is|:|=)\s*:?\s*(?:\*\*)?|^####",
    re.IGNORECASE | re.MULTILINE,
)


class _OutOfBoundsError(Exception):
    """A text is outside the bounds; the message says which."""


def check_math(ground_truth: str, answer: str) -> Check:
    r"""Compare the final answer in a text with the reference; the score is 1 or 0.

    The final answer is the content of the last `\boxed{}`, else what follows the last "answer is", "Answer:" or
    "####", else the last paragraph. `ungradable` where the reference cannot be parsed or a text is out of bounds.
    """
    final, marked = final_answer(answer)
    reference = ground_truth.strip()
    boxed = _last_boxed(reference)
    reference = reference if boxed is None else boxed
    if marked and _plain(final) == _plain(reference):
        return _check(1.0, None, f"same text: {final}")
    try:
        _bound(reference)
        _bound(final)
    except _OutOfBoundsError as refused:
        return _check(None, "too_complex", f"not parsed: {refused}")
    gold = _parse(reference, only=True)
    if not gold:
        return _check(None, "bad_reference", f"cannot be parsed: {reference}")
    found = _parse(final, only=marked)
    if not found:
        return _check(0.0, "no_final_answer", f"no expression in: {final}")
    evidence = f"{found[-1]} against {gold[-1]}"
    if _equal(gold, found):
        return _check(1.0, None, evidence)
    return _check(0.0, "wrong_answer", evidence)


def final_answer(answer: str) -> tuple[str, bool]:
    """Return the text of the final answer, and whether the answer marks it as such."""
    boxed = _last_boxed(answer)
    if boxed is not None:
        return boxed, True
    marks = list(_MARKED.finditer(answer))
    if marks:
        rest = answer[marks[-1].end() :].strip()
        line = rest.splitlines()[0].strip() if rest else ""
        # The formula may stand on lines of its own after the mark.
        text = rest if line in ("$$", "\\[") or line.startswith(("$$", "\\[")) else line
        text = text[:TAIL_CHARS].strip().strip("*").rstrip(".").strip()
        if text:
            return text, len(text) <= TAIL_CHARS // 4
    # A longer stretch would offer numbers from the working as answers.
    return re.split(r"\n\s*\n", answer.strip())[-1][-TAIL_CHARS:], False


def _last_boxed(text: str) -> str | None:
    """Return the content of the last complete box, braces balanced."""
    for start in reversed([m.end() for m in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]):
        depth = 1
        for i in range(start, min(len(text), start + 2 * MAX_FINAL_CHARS)):
            if text[i] in "{}" and text[i - 1] != "\\":
                depth += 1 if text[i] == "{" else -1
            if depth == 0:
                return text[start:i].strip()
    return None


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
    spaced = re.sub(r"\\[,;!: ]|[\s,]", "", text)
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
    if re.search(rf"\d{{{MAX_FACTORIAL_DIGITS + 1}}}!|[!)}}][)}}]*!|!\)*\}}*(?:\^|\*\*)", spaced):
        raise _OutOfBoundsError(
            f"a factorial above {MAX_FACTORIAL_DIGITS} digits, or of more than a number"
        )


def _parse(text: str, only: bool) -> list[Any]:
    """Return Math-Verify's readings of a text, best first. `only`: the text is nothing but the expression."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    text = text.replace("\\$", "")
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


def _equal(gold: list[Any], found: list[Any]) -> bool:
    from math_verify import verify

    if not verify(gold, found, timeout_seconds=None):
        return False
    left, right = _number(gold[0]), _number(found[0])
    return left is None or right is None or _same_number(left, right)


def _number(parsed: Any) -> Any | None:
    """Return a parsed value if it is one real number, else null: only those can be confused by rounding."""
    import sympy

    if isinstance(parsed, sympy.Eq):
        parsed = parsed.rhs
    if isinstance(parsed, sympy.Expr) and parsed.is_number and parsed.is_real is not False:
        return parsed
    return None


def _same_number(left: Any, right: Any) -> bool:
    """Compare by relative difference, so that tiny and huge numbers are told apart.

    Math-Verify has said yes already; this only takes back a yes that came from rounding.
    """
    import sympy

    exact = not (left.has(sympy.Float) or right.has(sympy.Float))
    a, b = left.doit(), right.doit()
    if exact and a.is_Rational and b.is_Rational:
        same: bool = bool(a == b) or _percent(a, b)
        return same
    a, b = sympy.N(a, PRECISION_DIGITS), sympy.N(b, PRECISION_DIGITS)
    if not (a.is_Float and b.is_Float):
        return bool(a == b)
    allowed = sympy.Float(EXACT_RELATIVE if exact else DECIMAL_RELATIVE, PRECISION_DIGITS)
    return bool(abs(a - b) <= allowed * max(abs(a), abs(b))) or _percent(a, b)


def _percent(a: Any, b: Any) -> bool:
    """Whether one is the other in percent, which Math-Verify lets pass where a text has a percent sign."""
    return bool(a == 100 * b or b == 100 * a)


def _check(score: float | None, reason: str | None, evidence: str) -> Check:
    return Check(
        verifier=NAME,
        version=VERSION,
        state="ungradable" if score is None else "pass" if score == 1.0 else "fail",
        score=score,
        reason=reason,
        evidence=evidence[:MAX_EVIDENCE_CHARS],
    )
