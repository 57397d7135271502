"""The page as blocks, and its two forms: one self-contained HTML file, and Markdown.

Blocks hold plain text, which the templates escape, so text of a model or a query source cannot become markup. Charts
are the exception: they are SVG made by `report.charts`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

DASH = "–"  # the content of an empty cell

# Control characters except tab and newline (terminal escapes, NUL), and characters that reorder or hide text.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#])")


@dataclass(frozen=True)
class Text:
    """A paragraph. A `note` is set apart: it limits how the numbers may be read."""

    text: str
    note: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table of formatted cells; the first `labels` columns are names, the others numbers."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A chart and its description."""

    caption: str
    svg: str
    kind: str = "figure"


@dataclass(frozen=True)
class TeacherAnswer:
    """One teacher's accepted response, with long texts cut."""

    teacher: str
    facts: str
    think: str
    answer: str


@dataclass(frozen=True)
class SideBySide:
    """One question and the answer of each teacher."""

    title: str
    question: str
    answers: Sequence[TeacherAnswer]
    kind: str = "side_by_side"


Block = Text | Table | Figure | SideBySide


@dataclass(frozen=True)
class PageSection:
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
    sections: Sequence[PageSection]


def render_html(page: Page) -> str:
    """Return one HTML file with style and charts inside; its content security policy forbids scripts and network."""
    return _render("report.html.jinja", page)


def render_markdown(page: Page) -> str:
    """Return the page as Markdown; it names the charts, which only the HTML file has."""
    return re.sub(r"\n{3,}", "\n\n", _render("report.md.jinja", page)).strip() + "\n"


def visible(text: str) -> str:
    """Return the text with control and invisible characters replaced by U+FFFD, and line ends by newlines."""
    return _INVISIBLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def markdown_text(text: str) -> str:
    """Return Markdown that renders as the text, on one line."""
    line = " ".join(visible(text).split())
    line = _MARKDOWN.sub(r"\\\1", line).replace("&", "&amp;")
    # Characters that open a list or a heading at the start of a line.
    return re.sub(r"^(\d*)([-+=.)])(?=[\s=-]|$)", r"\1\\\2", line)


def markdown_fence(text: str) -> str:
    """Return the text as a fenced block; the fence is longer than any run of backticks in the text."""
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
