"""Formats of numbers on the page. A missing number is a dash, never 0 or nan."""

from stillhouse.report.page import DASH


def count(number_of: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: "1 item", "1,200 items".

    Args:
        number_of: the count.
        one: the singular.
        many: the plural; by default the singular with an s.
    """
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def share(part: float, whole: float) -> float | None:
    """Return part / whole, None if the whole is 0."""
    return part / whole if whole else None


def percent(value: float | None) -> str:
    """Return a share as percent with one decimal."""
    return DASH if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """Return a difference of shares as signed percentage points."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def bracket(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return an interval in %.

    Args:
        low: lower bound as a share.
        high: upper bound as a share.
        signed: whether the bounds are differences, in percentage points.

    Returns:
        Such as "[20.8, 43.1]"; empty text if a bound is None.
    """
    if low is None or high is None:
        return ""
    form = points if signed else percent
    return f"[{form(low)}, {form(high)}]"


def number(value: float | None, digits: int = 1) -> str:
    """Return a number with thousands separators."""
    return DASH if value is None else f"{value:,.{digits}f}"


def integer(value: int | None) -> str:
    """Return a count with thousands separators."""
    return DASH if value is None else f"{value:,}"


def general(value: float | None) -> str:
    """Return an integer with thousands separators, another number with four significant digits."""
    if value is None:
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
