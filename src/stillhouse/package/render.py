"""Renders the Jinja templates of the cards, with the filters that they use."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stillhouse.errors import StillhouseError
from stillhouse.package import changelog

if TYPE_CHECKING:
    from jinja2 import Template

CARDS = changelog.FOLDER


class CardError(StillhouseError):
    """The card cannot be written: the template or a number that it needs is missing."""


def _interval(found: Mapping[str, float] | None) -> str:
    """Return a share with its interval as text. There is no precision if no answer was accepted."""
    if found is None:
        return "nothing accepted"
    if found["share"] is None:
        return "no case"
    return f"{100 * found['share']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def render(template: Path, shown: Mapping[str, Any]) -> str:
    """Return a rendered card template.

    Raises:
        CardError: the template is missing or broken, or a value that it shows is missing.
    """
    from jinja2 import TemplateError

    try:
        return _compiled(template.read_text(encoding="utf-8")).render(shown)
    except OSError as error:
        raise CardError(f"{template}: {error.strerror}; it is part of the project") from None
    except (TemplateError, TypeError, ValueError) as error:
        raise CardError(
            f"{template}: {error}; if a metrics file lacks it, run the stage that writes that file again"
        ) from None


# Compiling a template takes longer than rendering it, and a release has one card per repository.
@cache
def _compiled(source: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    # `+ 0` makes StrictUndefined raise an error that names a missing number.
    environment.filters["count"] = lambda number: f"{number + 0:,}"
    environment.filters["rounded"] = lambda number: f"{number + 0:,.2f}"
    environment.filters["rows"] = lambda rows: "-" if rows is None else f"{rows + 0:,.2f}"
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["interval"] = _interval
    environment.filters["cell"] = _cell
    environment.filters["type_name"] = type_name
    environment.filters["terms"] = _by_license
    return environment.from_string(source)


def yaml_text(content: dict[str, Any]) -> str:
    """Return the front matter of a card as YAML."""
    import yaml

    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


def type_name(type_: pa.DataType) -> str:
    """Return a short description of a column type; the fields of a long struct are left out."""
    if pa.types.is_list(type_):
        return f"list of {type_name(type_.value_type)}"
    if pa.types.is_struct(type_):
        return f"struct ({', '.join(type_.names)})" if len(type_.names) <= 4 else "struct"
    return str(type_)


def _cell(text: object) -> str:
    """Return text that is escaped for a table cell: it cannot end the cell or make a link or a tag."""
    plain = " ".join(str(text).split())
    return re.sub(r"([|<>\[\]`*])", r"\\\1", plain)


def _by_license(licenses: Mapping[str, str]) -> str:
    """Return a text that lists the names under each licence."""
    names: dict[str, list[str]] = {}
    for name, license_ in licenses.items():
        names.setdefault(license_, []).append(_cell(name))
    return "; ".join(f"{_cell(terms)}: {', '.join(names[terms])}" for terms in sorted(names))


def changelog_text(cards: Path) -> str:
    """Return the changelog of the released data sets, as cards show it.

    Raises:
        CardError: the file is missing.
    """
    try:
        return (cards / changelog.CHANGELOG.name).read_text(encoding="utf-8")
    except OSError as error:
        raise CardError(
            f"{cards / changelog.CHANGELOG.name}: {error.strerror}; the file must list the changes of each version"
        ) from None
