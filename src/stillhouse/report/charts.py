"""Charts as self-contained SVG text: from tidy rows through Vega-Lite, without a browser or a network.

Axes and labels have the colour of the page's text, and the colours of points and bars have medium lightness: a chart is
readable on a light and on a dark page. Ids inside an SVG contain the chart's key, because all charts share one page.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stillhouse.records import CATEGORIES
from stillhouse.report.formats import percent
from stillhouse.vega import config, teacher_colours

Rows = Sequence[Mapping[str, Any]]

CATEGORY_COLOURS = ["#4f7fd1", "#d98032", "#36a38b", "#c2579b", "#a79a2c", "#8b8f98"]
# A phone shows a chart of this width completely, with readable text; a wide screen enlarges it.
WIDTH = 400
PANEL_WIDTH = 290  # of charts with the teachers' names beside the axis
ENLARGED = 1.35
ROW_HEIGHT = 22
_OF_THE_PAGE = {"labelColor": "currentColor", "titleColor": "currentColor"}
_CONFIG: dict[str, Any] = {
    "background": None,
    "aria": False,
    "font": "sans-serif",
    "lineBreak": "\n",
    # The reader's font may be wider than the font that the labels were measured with.
    "padding": {"left": 28, "right": 12, "top": 4, "bottom": 4},
    "axis": {
        **_OF_THE_PAGE,
        "labelLimit": 400,
        "gridColor": "#8888",
        "gridOpacity": 0.4,
        "domainColor": "#888",
        "tickColor": "#888",
    },
    "legend": {**_OF_THE_PAGE, "labelLimit": 600},
    "header": {
        **_OF_THE_PAGE,
        "labelFontSize": 12,
        "labelFontWeight": "bold",
        "labelLimit": 600,
        "title": None,
    },
    "text": {"color": "currentColor"},
}


def scores(rows: Rows, names: Mapping[str, str]) -> str:
    """Return pass@1 in % with its interval, one panel per task; rows of task, teacher, score, low, high."""
    import altair as alt

    measured = [
        {
            "task": row["task"],
            "teacher": _wrapped(names[row["teacher"]]),
            "score": 100 * row["score"],
            "shown": percent(row["score"]),
            "low": None if row["low"] is None else 100 * row["low"],
            "high": None if row["high"] is None else 100 * row["high"],
        }
        for row in rows
        if row["score"] is not None
    ]
    base = alt.Chart().encode(
        y=alt.Y(
            "teacher:N",
            title=None,
            scale=alt.Scale(domain=_order(names)),
            axis=alt.Axis(ticks=False),
        ),
        color=_teacher_colour(alt, names, legend=False),
    )
    chart = alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.6).encode(
            x=alt.X(
                "low:Q",
                title="pass@1, %",
                scale=alt.Scale(domain=[0, 100]),
                axis=alt.Axis(tickCount=5),
            ),
            x2="high:Q",
        ),
        base.mark_point(filled=True, size=90, opacity=1).encode(x="score:Q"),
        base.mark_text(dy=-10, fontSize=11).encode(
            x="score:Q", text="shown:N", color=alt.value("currentColor")
        ),
        data=alt.Data(values=_placed(measured, "task")),
    ).properties(width=PANEL_WIDTH, height=_height(len(names), 40))
    return _svg(_panels(alt, chart, "task"), "scores", "pass@1 of each student")


def funnel(rows: Rows, names: Mapping[str, str]) -> str:
    """Return the rows left after each stage by teacher; rows of teacher, stage, rows."""
    import altair as alt

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    base = alt.Chart(alt.Data(values=_named(rows, names))).encode(
        y=alt.Y("stage:N", title=None, scale=alt.Scale(domain=stages, paddingInner=0.25)),
        yOffset=alt.YOffset("teacher:N", scale=alt.Scale(domain=_order(names))),
        x=alt.X("rows:Q", title="queries left", axis=alt.Axis(tickMinStep=1)),
    )
    chart = alt.layer(
        base.mark_bar().encode(color=_teacher_colour(alt, names)),
        base.mark_text(align="left", dx=4).encode(text=alt.Text("rows:Q", format=",d")),
    ).properties(width=WIDTH, height=_height(len(stages) * len(names), 17))
    return _svg(chart, "funnel", "Queries left after each stage, by teacher")


def attempts(rows: Rows, names: Mapping[str, str]) -> str:
    """Return the share of queries answered by the number of attempts; rows of teacher, attempt, share."""
    import altair as alt

    chart = (
        alt.Chart(alt.Data(values=_named(rows, names)))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X(
                "attempt:Q", title="attempts allowed", axis=alt.Axis(tickMinStep=1, format="d")
            ),
            y=alt.Y(
                "share:Q",
                title="queries answered",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
            ),
            color=_teacher_colour(alt, names),
        )
        .properties(width=WIDTH, height=200)
    )
    return _svg(chart, "attempts", "Share of queries answered by number of attempts")


def mixture(rows: Rows, names: Mapping[str, str]) -> str:
    """Return row share and token share by category, one bar each per teacher; rows of `mixture_rows`."""
    import altair as alt

    long = [
        {
            "teacher": _wrapped(names[row["teacher"]]),
            "category": row["category"],
            "stacked": CATEGORIES.index(row["category"]),
            "of": of,
            "share": row[column],
        }
        for row in rows
        for of, column in (("rows", "row_share"), ("tokens", "token_share"))
        if row[column] is not None
    ]
    present = {row["category"] for row in rows}
    colours = {
        category: colour
        for category, colour in zip(CATEGORIES, CATEGORY_COLOURS, strict=True)
        if category in present
    }
    colour = alt.Color(
        "category:N",
        scale=alt.Scale(domain=list(colours), range=list(colours.values())),
        legend=alt.Legend(direction="horizontal", columnPadding=16),
    )
    chart = (
        alt.Chart(alt.Data(values=_placed(long, "of")))
        .mark_bar()
        .encode(
            x=alt.X(
                "share:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])
            ),
            y=alt.Y(
                "teacher:N",
                title=None,
                scale=alt.Scale(domain=_order(names)),
                axis=alt.Axis(ticks=False),
            ),
            color=colour,
            order="stacked:O",
        )
        .properties(width=PANEL_WIDTH, height=_height(len(names), 40))
    )
    return _svg(
        _panels(alt, chart, "of"), "mixture", "Share of rows and of tokens by category and teacher"
    )


def boxes(
    rows: Rows, names: Mapping[str, str], *, by: str, key: str, title: str, log: bool = False
) -> str:
    """Return box plots: 5 to 95 % line, quartile box, median line and mean point, by group and teacher.

    Args:
        rows: rows of teacher, the column `by`, p5, p25, p50, p75, p95, mean.
        names: display names by teacher id.
        by: column that groups, from top to bottom in the order of the rows.
        key: key of the chart on the page.
        title: title of the value axis.
        log: whether the value axis is logarithmic; all values must then be above 0.
    """
    import altair as alt

    shown = [row for row in _named(rows, names) if row["mean"] is not None]
    groups = list(dict.fromkeys(row[by] for row in shown))
    scale = alt.Scale(type="log", nice=False, padding=10) if log else alt.Scale(zero=True)
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y(f"{by}:N", title=None, scale=alt.Scale(domain=groups, paddingInner=0.3)),
        yOffset=alt.YOffset("teacher:N", scale=alt.Scale(domain=_order(names))),
    )
    colour = _teacher_colour(alt, names)
    axis = alt.X("p5:Q", title=title, scale=scale, axis=alt.Axis(format="~s" if not log else "~g"))
    chart = alt.layer(
        base.mark_rule(strokeWidth=2).encode(x=axis, x2="p95:Q", color=colour),
        base.mark_bar(size=10, opacity=1).encode(x=alt.X("p25:Q"), x2="p75:Q", color=colour),
        base.mark_tick(size=12, thickness=2, color="currentColor").encode(x="p50:Q"),
        base.mark_point(
            shape="diamond", size=36, filled=True, opacity=1, color="currentColor"
        ).encode(x="mean:Q"),
    ).properties(width=WIDTH, height=_height(len(groups) * len(names), 18))
    return _svg(chart, key, title)


def histogram(rows: Rows, names: Mapping[str, str]) -> str:
    """Return the share of responses by length, one panel per teacher; rows of `histogram_rows`."""
    import altair as alt

    labels = list(dict.fromkeys(row["tokens"] for row in rows))
    shown = [dict(row, name=names[row["teacher"]]) for row in rows]
    chart = (
        alt.Chart(alt.Data(values=_placed(shown, "name")))
        .mark_bar()
        .encode(
            x=alt.X(
                "tokens:N",
                title="generated tokens",
                scale=alt.Scale(domain=labels),
                axis=alt.Axis(labelAngle=-40),
            ),
            y=alt.Y("share:Q", title="responses", axis=alt.Axis(format="%", tickCount=3)),
            color=alt.Color(
                "name:N",
                scale=alt.Scale(domain=list(names.values()), range=teacher_colours(len(names))),
                legend=None,
            ),
        )
        .properties(width=WIDTH, height=90)
    )
    return _svg(
        _panels(alt, chart, "name"), "histogram", "Generated tokens per response, by teacher"
    )


def losses(rows: Rows, names: Mapping[str, str]) -> str:
    """Return the training loss by step, one line per training; rows of teacher, student, seed, step, loss."""
    import altair as alt

    chart = (
        alt.Chart(alt.Data(values=_placed(_named(rows, names), "student")))
        .mark_line(strokeWidth=2, point=len(rows) <= 200)
        .encode(
            x=alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False)),
            detail="seed:N",
            color=_teacher_colour(alt, names),
        )
        .properties(width=WIDTH, height=200)
    )
    return _svg(_panels(alt, chart, "student"), "losses", "Training loss of each student")


def _named(rows: Rows, names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [dict(row, teacher=_wrapped(names[row["teacher"]])) for row in rows]


def _placed(rows: Rows, column: str) -> list[dict[str, Any]]:
    """Return the rows with the place of their value of a column, in order of first appearance."""
    order = list(dict.fromkeys(row[column] for row in rows))
    return [dict(row, place=order.index(row[column])) for row in rows]


def _panels(alt: Any, chart: Any, column: str) -> Any:
    """Return one panel per value of a column, below each other in the order of `place`.

    Sorting by a list of values would be shorter, but Vega-Lite makes an expression of the list, in which the category
    `if` is read as a name.
    """
    facet = alt.Facet(
        f"{column}:N",
        title=None,
        sort=alt.EncodingSortField(field="place", op="min"),
        header=alt.Header(labelAnchor="start"),
    )
    return chart.facet(facet=facet, columns=1)


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 24))


def _order(names: Mapping[str, str]) -> list[str]:
    return [_wrapped(name) for name in names.values()]


def _teacher_colour(alt: Any, names: Mapping[str, str], *, legend: bool = True) -> Any:
    return alt.Color(
        "teacher:N",
        scale=alt.Scale(domain=_order(names), range=teacher_colours(len(names))),
        # A legend has the whole width, so names are not wrapped in it.
        legend=alt.Legend(labelExpr="replace(datum.label, /\\n/g, ' ')") if legend else None,
    )


def _height(bars: int, each: int = ROW_HEIGHT) -> int:
    return max(1, bars) * each + 10


def _svg(chart: Any, key: str, description: str) -> str:
    import vl_convert

    spec = chart.to_dict()
    # Not set through altair, whose validation refuses `currentColor`.
    spec["config"] = config(_CONFIG)
    svg = vl_convert.vegalite_to_svg(spec)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = svg.replace("url(#", f"url(#{key}-").replace('href="#', f'href="#{key}-')
    found = re.search(r'<svg [^>]*width="([\d.]+)"[^>]*(viewBox="[^"]*")[^>]*>', svg)
    if found is None:
        raise ValueError(f"chart {key}: the renderer gave no SVG with a size")
    width, view_box = float(found[1]), found[2]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(description)}" '
        f'style="max-width:{ENLARGED * width:.0f}px" {view_box}>'
    )
    return str(opening + svg[found.end() :])
