"""Compares the output of a program with the expected output."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from decimal import Decimal

MAX_NUMBER_CHARS = 40  # longer tokens are compared as text
# A number in the form that programs print: ASCII digits, no leading zero, no plus sign. An exponent needs a sign or a
# decimal point before it, because the token could otherwise be a hexadecimal number.
NUMBER = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-][0-9]+)?|-?[0-9]\.[0-9]+E-?[0-9]+"
)
# If a test has no tolerance and the expected number has a decimal point, the usual differences of online judges are
# allowed: rounding to this many decimals, or a relative difference of one in a million.
DECIMALS = 6
RELATIVE = 1e-6


def same_text(printed: str, expected: str, tolerance: float | None) -> bool:
    """Return whether two outputs agree line by line and token by token, as in programming contests.

    Spaces at line ends, empty lines at the end and the notation of a decimal number do not matter. Integers must be
    equal. If the expected number has a decimal point, the printed number may differ by `tolerance`, absolutely or
    relatively; without a tolerance, it may differ by rounding (`_rounded`).

    Args:
        printed: the output of the program.
        expected: the expected output.
        tolerance: the allowed difference of numbers with a decimal point, or None.
    """

    def lines(text: str) -> list[list[str]]:
        return [line.split() for line in text.rstrip().splitlines()]

    left, right = lines(printed), lines(expected)
    if [len(line) for line in left] != [len(line) for line in right]:
        return False
    return all(
        same_token(a, b, tolerance)
        for one, two in zip(left, right, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def same_token(printed: str, expected: str, tolerance: float | None) -> bool:
    """Return whether two tokens are the same text, the same number, or numbers within the allowed difference.

    Args:
        printed: the printed token.
        expected: the expected token.
        tolerance: as in `same_text`.
    """
    if printed == expected:
        return True
    if max(len(printed), len(expected)) > MAX_NUMBER_CHARS:
        return False
    if not (NUMBER.fullmatch(printed) and NUMBER.fullmatch(expected)):
        return False
    from decimal import Decimal, DecimalException

    try:
        given, wanted = Decimal(printed), Decimal(expected)
        if given == wanted:
            return True
        if tolerance is not None:
            whole = not any(mark in printed + expected for mark in ".eE")
            slack = Decimal(tolerance) * max(Decimal(1), abs(wanted))
            return not whole and abs(given - wanted) <= slack
        return any(mark in expected for mark in ".eE") and _rounded(given, wanted)
    except DecimalException:
        return False


def _rounded(given: Decimal, wanted: Decimal) -> bool:
    """Return whether a printed number is the expected one up to rounding.

    This holds in two cases: both have at least six decimals, and the printed number is the expected one rounded to its
    own last decimal; or the relative difference is at most a millionth, and too small for the decimals of the expected
    number.
    """
    from decimal import Decimal

    def unit(number: Decimal) -> Decimal:
        return Decimal(1).scaleb(int(number.as_tuple().exponent))

    off = abs(given - wanted)
    fine = Decimal(1).scaleb(-DECIMALS)
    if max(unit(given), unit(wanted)) <= fine and off <= unit(given) / 2:
        return True
    shown = unit(wanted) / 2 if unit(wanted) > fine else Decimal("Infinity")
    return off <= Decimal(RELATIVE) * abs(wanted) and off <= shown
