"""Whether what a program printed is what it should have printed."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from decimal import Decimal

MAX_NUMBER_CHARS = 40  # longer tokens are compared as text
# A number as programs print it: ASCII digits, no leading zero, no plus sign; an exponent only where it cannot be a
# hexadecimal number, that is with a sign of its own or after a decimal point.
NUMBER = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-][0-9]+)?|-?[0-9]\.[0-9]+E-?[0-9]+"
)
# Without a tolerance of its own a test allows what judges usually allow where the expected number has a decimal point:
# rounding to this many decimals, or a relative difference of one in a million.
DECIMALS = 6
RELATIVE = 1e-6


def same_text(printed: str, expected: str, tolerance: float | None) -> bool:
    """Whether two outputs agree line by line and token by token, as contests compare them.

    Blanks at line ends, empty lines at the end and the writing of a decimal number do not matter. Whole numbers are
    exact. Where the expected number has a decimal point the printed one may be off by `tolerance`, absolutely or
    relatively; where there is none, by what rounding explains (`_rounded`).
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
    """Whether two tokens are the same text, the same number, or numbers no further apart than the task allows."""
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
    """Whether a printed number is the expected one but for rounding.

    It is, if both have six decimals or more and the printed one is the other rounded to its last decimal; or if it is
    off by a millionth of its size at most and the expected number does not show the difference in its own decimals.
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
