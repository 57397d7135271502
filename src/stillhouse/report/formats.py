"""How numbers look on the page. What is not there shows as a dash, never as 0 or nan."""

from stillhouse.report.page import DASH


def count(number_of: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: "1 item", "1,200 items"."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def share(part: float, whole: float) -> float | None:
    """Return part of whole, None where there is no whole."""
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
    """Return an interval in %, nothing where there is none."""
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
    """Return a figure of unknown size: counts whole, others with four significant digits."""
    if value is None:
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
