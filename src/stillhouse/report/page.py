"""The page as blocks, and its two forms: one self-contained HTML file, and Markdown.

Blocks hold plain text only. The templates escape all of it; nothing that a model or a query source wrote can become
markup. The one exception are the charts, which are SVG of our own making.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

DASH = "–"  # what a cell shows where there is nothing to show

# Controls other than tab and newline (terminal escapes, NUL), and marks that reorder or hide text on screen.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#])")


@dataclass(frozen=True)
class Text:
    """A paragraph. `note` sets it apart: something to keep in mind when reading the numbers."""

    text: str
    note: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table of cells that are text already; the first `labels` columns are names, the others numbers."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A chart with what it shows in words."""

    caption: str
    svg: str
    kind: str = "figure"


@dataclass(frozen=True)
class Answer:
    """One teacher's accepted response, cut to a length that a reader will read."""

    teacher: str
    facts: str
    think: str
    answer: str


@dataclass(frozen=True)
class SideBySide:
    """One question and what each teacher answered."""

    title: str
    question: str
    answers: Sequence[Answer]
    kind: str = "side_by_side"


Block = Text | Table | Figure | SideBySide


@dataclass(frozen=True)
class Section:
    """A titled part of the page; `anchor` is its id in the HTML."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """The whole report. `headline` is the answer in words, sentence by sentence."""

    title: str
    subtitle: str
    headline: Sequence[str]
    sections: Sequence[Section]


def render_html(page: Page) -> str:
    """Return one HTML file that loads nothing: style and charts inside, scripts and network forbidden by its policy."""
    return _render("report.html.jinja", page)


def render_markdown(page: Page) -> str:
    """Return the page as Markdown; charts are named and stand in the HTML file."""
    return re.sub(r"\n{3,}", "\n\n", _render("report.md.jinja", page)).strip() + "\n"


def visible(text: str) -> str:
    """Return text in which control and invisible characters show as U+FFFD, and line ends are newlines."""
    return _INVISIBLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def markdown_text(text: str) -> str:
    """Return text on one line as Markdown that renders as just that text."""
    line = " ".join(visible(text).split())
    line = _MARKDOWN.sub(r"\\\1", line).replace("&", "&amp;")
    # What would open a list or a heading at the start of a line.
    return re.sub(r"^(\d*)([-+=.)])(?=[\s=-]|$)", r"\1\\\2", line)


def markdown_fence(text: str) -> str:
    """Return text as a fenced block, with a fence longer than any run of backticks inside it."""
    shown = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def _render(name: str, page: Page) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("stillhouse.report"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=markdown_text, fence=markdown_fence, visible=visible)
    return environment.get_template(name).render(page=page)
