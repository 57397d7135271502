"""Write docs/reference/params.md from the models in stillhouse.params, so that it is never typed by hand.

Usage: python tools/params_reference.py
"""

import inspect
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from stillhouse.params.filter import FilterRuntime
from stillhouse.params.run import RunParams
from stillhouse.params.student import StudentFile, StudentRuntime
from stillhouse.params.teacher import TeacherFile, TeacherRuntime

PAGE = Path("docs/reference/params.md")

HEAD = """# Parameters

Made by `python tools/params_reference.py` from the models that check the files; do not edit by hand.

Unknown keys are errors. A key without a default is required. `stillhouse check` validates all files.
Write floats with a point (`8.0e-5`) and no YAML anchors.
"""
FILES: list[tuple[str, type[BaseModel]]] = [
    ("params.yaml", RunParams),
    ("conf/teachers/&lt;id&gt;.yaml", TeacherFile),
    ("conf/students/&lt;id&gt;.yaml", StudentFile),
]
RUNTIME = """
## conf/runtime.yaml

Read by the stages and tracked by none: a change runs nothing again. The keys of an entry go over those of `defaults`.

| key | type |
|---|---|
| `filter` | section |
| `defaults.teachers`, `defaults.students` | section, for all of them |
| `teachers.<id>`, `students.<id>` | section |
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for file, model in FILES:
        parts.append(f"\n## {file}\n")
        parts.extend(_section(model, ""))
    parts.append(RUNTIME)
    parts.extend(_section(TeacherRuntime, "teachers"))
    parts.extend(_section(StudentRuntime, "students"))
    parts.extend(_section(FilterRuntime, "filter"))
    return "".join(parts)


def _section(model: type[BaseModel], path: str) -> list[str]:
    parts = []
    if path:
        parts.append(f"\n### {path}\n")
    parts.append(f"\n{' '.join(inspect.cleandoc(model.__doc__ or '').split())}\n")
    parts.append("\n| key | type | default |\n|---|---|---|\n")
    below: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        if model in (TeacherFile, StudentFile) and name == "runtime":
            continue  # it comes from conf/runtime.yaml
        if field.exclude:
            continue  # a key that has moved
        default = "" if field.default is PydanticUndefined else f"`{_yaml(field.default)}`"
        limits = _limits(field.metadata)
        parts.append(f"| `{name}` | {_type(field.annotation)}{limits} | {default} |\n")
        key = f"{path}.{name}" if path else name
        below.extend((_label(key, field.annotation, m), m) for m in _models(field.annotation))
    for label, child in below:
        parts.extend(_section(child, label))
    return parts


def _label(key: str, annotation: Any, model: type[BaseModel]) -> str:
    """Return the heading of a nested section; the kinds of one list are distinguished by `kind`."""
    listed = f"{key}[]" if get_origin(annotation) is list else key
    if len(_models(annotation)) == 1:
        return listed
    (kind,) = get_args(model.model_fields["kind"].annotation)
    return f"{listed} with kind {kind}"


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _type(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return "anything"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin is list:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"mapping to {_type(inside[1])}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in inside))
    if hasattr(annotation, "__metadata__"):
        if any(getattr(part, "discriminator", None) for part in annotation.__metadata__):
            return "section, by its `kind`"
        return _type(inside[0]) + _limits(annotation.__metadata__)
    return {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}[annotation]


def _limits(metadata: Any) -> str:
    parts = []
    for part in metadata:
        for inner in getattr(part, "metadata", [part]):
            for sign, name in ((">", "gt"), (">=", "ge"), ("<", "lt"), ("<=", "le")):
                if (bound := getattr(inner, name, None)) is not None:
                    parts.append(f"{sign} {bound}")
            if pattern := getattr(inner, "pattern", None):
                parts.append(f"matching `{pattern}`")
            if check := getattr(inner, "func", None):
                parts.append(
                    {
                        "_check_id": "id",
                        "_check_revision": "commit hash",
                        "_check_teacher_revision": "commit hash, or `none`",
                        "_check_input": "a path in inputs/",
                        "_check_endpoint": "http(s) URL, without credentials and query",
                        "_check_variable": "name of an environment variable",
                        "_check_json": "JSON",
                        "_check_body": "JSON",
                        "_check_headers": "no secrets",
                    }[check.__name__]
                )
    return f" ({', '.join(parts)})" if parts else ""


def _yaml(default: Any) -> str:
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, BaseModel):
        return "its defaults"
    text = re.sub(r"^''$", '""', str(default)) or '""'
    return text.replace("|", "\\|")  # else it would end the cell of the table


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
