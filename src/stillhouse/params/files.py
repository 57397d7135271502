"""Paths of the YAML files, and how one is read; errors name file, key, what was found and what is allowed."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stillhouse.params.base import ParamsError, Section

PARAMS_FILE = Path("params.yaml")
TEACHERS_FOLDER = Path("conf/teachers")
STUDENTS_FOLDER = Path("conf/students")
RUNTIME_FILE = Path("conf/runtime.yaml")
# Values of these keys may hold a secret by mistake, so that no message shows them.
PRIVATE_KEYS = frozenset({"endpoints", "api_key_variable", "headers", "extra_body"})
SectionT = TypeVar("SectionT", bound=Section)


def parse(section: type[SectionT], content: object, where: str) -> SectionT:
    """Return a section built from the content of a file.

    Args:
        section: the model.
        content: what YAML gave.
        where: the file, and the key of the section in it, as messages name them.

    Raises:
        ParamsError: a key has its old name and its new one; or one line per fault, each with `where`, the key, what was
            found and what is allowed.
    """
    try:
        return section.model_validate(with_new_names(section, content, where))
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
            message = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(
                fault["type"], fault["msg"].removeprefix("Value error, ")
            )
            found = (
                ""
                if fault["type"] == "missing"
                or isinstance(fault["input"], dict)
                or not PRIVATE_KEYS.isdisjoint(fault["loc"])
                else f" (found {fault['input']!r})"
            )
            lines.append(f"{where}: {key}: {message}{found}{_allowed(section, fault)}")
        raise ParamsError("\n".join(lines)) from None


def with_new_names(
    section: type[Section], content: object, where: str, above: tuple[str, ...] = ()
) -> Any:
    """Return the content of a section, and of those below it, with the names of today in place of old ones.

    Args:
        section: the model, whose `OLD_NAMES` are replaced.
        content: what YAML gave; anything but a mapping is returned as it is.
        where: the file, and the key of the section in it, as messages name them.
        above: the keys between the section at `where` and this one.

    Raises:
        ParamsError: a key has its old name and its new one.
    """
    if not isinstance(content, dict):
        return content
    renamed = {}
    for key, value in content.items():
        name = key
        if key in section.OLD_NAMES:
            name = section.OLD_NAMES[key]
            place = f"{where}: {'.'.join((*above, key))}"
            if name in content:
                raise ParamsError(f"{place}: this is the old name of {name}, which is also set")
            note = f"{place}: rename it to {name}; from version 0.3 on, the old name is an error"
            warnings.warn(note, FutureWarning, stacklevel=2)
        field = section.model_fields.get(name)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, Section):
            value = with_new_names(inner, value, where, (*above, key))
        renamed[name] = value
    return renamed


def _allowed(section: type[BaseModel], fault: Mapping[str, Any]) -> str:
    """Return the allowed keys of the section with the unknown key, as the end of a message; "" for other faults."""
    if fault["type"] != "extra_forbidden":
        return ""
    here: Any = section
    for part in fault["loc"][:-1]:
        field = (
            here.model_fields.get(part)
            if isinstance(part, str) and hasattr(here, "model_fields")
            else None
        )
        here = field.annotation if field else None
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return ""
    return f"; allowed here: {', '.join(sorted(here.model_fields))}"


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file, read as DVC reads it (YAML 1.2: `1e-5` is a number, `no` is text).

    Raises:
        ParamsError: the file is missing, is not YAML, or its top level is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(
            f"{path}: a mapping of keys was expected at the top level, found {type(content).__name__}"
        )
    return content
