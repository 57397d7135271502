"""The common look of the Vega-Lite charts of the report and the cards."""

from typing import Any

# Of medium lightness, readable on a light and on a dark page.
TEACHER_COLOURS = ("#3f88c5", "#e07a2f", "#2fa37c", "#b565c4", "#c79a1e", "#d9536f")
_COMMON: dict[str, dict[str, Any]] = {
    "view": {"stroke": None},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12, "orient": "top", "direction": "vertical", "title": None},
    "text": {"fontSize": 11},
}


def config(own: dict[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite `config`: the common one, with a page's own settings added group by group."""
    return own | {group: common | own.get(group, {}) for group, common in _COMMON.items()}


def teacher_colours(teachers: int) -> list[str]:
    """Return a colour for each teacher; more than six teachers share colours."""
    return [TEACHER_COLOURS[i % len(TEACHER_COLOURS)] for i in range(teachers)]
