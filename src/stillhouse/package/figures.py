"""Draws the figures of a card as PNG images, because not every renderer shows SVG files of a repository.

Vega-Lite renders them without a browser or a network. It uses the fonts of the machine, so equal rows give equal bytes
on the same machine.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from stillhouse import vega
from stillhouse.package.counts import Tokens

Rows = Sequence[Mapping[str, Any]]

WIDTH = 560
BAR = 17  # height of one bar
SCALE = 2.0  # pixels per unit, so that text is sharp on a high-resolution screen
COLOURS = 64  # of an image's palette: bars, text and its edges; a third to a tenth of the bytes of true colour
_CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "DejaVu Sans, sans-serif",
    "axis": {"labelLimit": 300},
    "legend": {"labelLimit": 560},
    "title": {"anchor": "start", "fontSize": 13, "fontWeight": "normal", "offset": 10},
}


def funnel(rows: Rows, names: Mapping[str, str], path: Path) -> None:
    """Draw the queries that remain after each step.

    Args:
        rows: Rows of teacher, step and queries, in the order of the steps.
        names: Teachers by id.
        path: The image to write.
    """
    steps = list(dict.fromkeys(row["step"] for row in rows))
    layers: list[dict[str, Any]] = [
        {"mark": "bar", "encoding": {"color": _by_teacher(names)}},
        _value_labels({"field": "queries", "type": "quantitative", "format": ",d"}),
    ]
    encoding = _grouped("step", steps, names) | {
        "x": {"field": "queries", "type": "quantitative", "title": "queries"}
    }
    _write(
        path,
        _named(rows, names),
        layers,
        encoding,
        "Queries left after each step",
        len(steps),
        names,
    )


def lengths(tokens: Mapping[str, Tokens], names: Mapping[str, str], path: Path) -> None:
    """Draw the lengths of the released responses of each teacher: 5 to 95 %, quartiles, median and mean.

    Args:
        tokens: Lengths by teacher.
        names: Teachers by id.
        path: The image to write.
    """
    rows = [
        {
            "name": names[teacher],
            **{f"p{share}": found.quantile(share / 100) for share in (5, 25, 50, 75, 95)},
            "mean": round(found.mean, 1),
        }
        for teacher, found in tokens.items()
    ]

    def at(column: str) -> dict[str, Any]:
        return {"field": column, "type": "quantitative", "title": "tokens of a response"}

    colour = {"color": _by_teacher(names, legend=False)}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "rule", "strokeWidth": 2},
         "encoding": {"x": at("p5"), "x2": {"field": "p95"}, **colour}},
        {"mark": {"type": "bar", "size": 14, "opacity": 1},
         "encoding": {"x": at("p25"), "x2": {"field": "p75"}, **colour}},
        {"mark": {"type": "tick", "size": 18, "thickness": 2, "color": "black"},
         "encoding": {"x": at("p50")}},
        {"mark": {"type": "point", "shape": "diamond", "filled": True, "size": 40, "color": "black",
                  "opacity": 1}, "encoding": {"x": at("mean")}},
    ]  # fmt: skip
    y = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names.values())},
    }
    title = "Length of the released responses: 5 to 95 %, quartiles, median (line), mean (diamond)"
    _write(path, rows, layers, {"y": y}, title, len(names), {"one": ""}, each=36)


def pass_rates(rows: Rows, names: Mapping[str, str], path: Path) -> None:
    """Draw the share of attempts that passed verification.

    Args:
        rows: Rows of teacher, source and share.
        names: Teachers by id.
        path: The image to write.
    """
    sources = list(dict.fromkeys(row["source"] for row in rows))
    layers: list[dict[str, Any]] = [
        {"mark": "bar", "encoding": {"color": _by_teacher(names)}},
        _value_labels({"field": "share", "type": "quantitative", "format": ".0%"}),
    ]
    x = {"field": "share", "type": "quantitative", "title": "attempts that passed",
         "scale": {"domain": [0, 1]}, "axis": {"format": "%"}}  # fmt: skip
    encoding = _grouped("source", sources, names) | {"x": x}
    title = "Share of attempts that passed, by source"
    _write(path, _named(rows, names), layers, encoding, title, len(sources), names)


def scores(rows: Rows, names: Mapping[str, str], path: Path, title: str) -> None:
    """Draw pass@1 with its interval.

    Args:
        rows: Rows of task, teacher, score, low and high (each 0 to 1; low and high may be None).
        names: Teachers by id.
        path: The image to write.
        title: The title of the figure.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    x = {"field": "score", "type": "quantitative", "title": "pass@1",
         "scale": {"domain": [0, 1]}, "axis": {"format": "%"}}  # fmt: skip
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.6},
         "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}, "color": _by_teacher(names)}},
        {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
         "encoding": {"x": x, "color": _by_teacher(names)}},
    ]  # fmt: skip
    _write(
        path, _named(rows, names), layers, _grouped("task", tasks, names), title, len(tasks), names
    )


def _named(rows: Rows, names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [dict(row, name=names[row["teacher"]]) for row in rows]


def _by_teacher(names: Mapping[str, str], *, legend: bool = True) -> dict[str, Any]:
    scale = {"domain": list(names.values()), "range": vega.teacher_colours(len(names))}
    return {
        "field": "name",
        "type": "nominal",
        "scale": scale,
        "legend": {} if legend and len(names) > 1 else None,
    }


def _grouped(by: str, groups: list[str], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "y": {
            "field": by,
            "type": "nominal",
            "title": None,
            "scale": {"domain": groups, "paddingInner": 0.25},
        },
        "yOffset": {"field": "name", "scale": {"domain": list(names.values())}},
    }


def _value_labels(text: dict[str, Any]) -> dict[str, Any]:
    return {"mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {"text": text}}


def _write(
    path: Path,
    rows: Rows,
    layers: list[dict[str, Any]],
    encoding: dict[str, Any],
    title: str,
    groups: int,
    names: Mapping[str, str],
    each: int = BAR,
) -> None:
    import vl_convert
    from PIL import Image

    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "config": vega.config(_CONFIG),
        "title": title,
        "data": {"values": [dict(row) for row in rows]},
        "width": WIDTH,
        "height": groups * len(names) * each + 12 * groups,
        "encoding": encoding,
        "layer": layers,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.open(BytesIO(vl_convert.vegalite_to_png(spec, scale=SCALE))).convert("RGB")
    drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
