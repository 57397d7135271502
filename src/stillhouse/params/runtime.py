"""How conf/runtime.yaml is read, which sets where each teacher and student runs, how fast, and the filter's memory.

It changes no output, and no stage tracks it. The models of its entries are `TeacherRuntime`, `StudentRuntime` and
`FilterRuntime`.
"""

from pathlib import Path
from typing import Any

from stillhouse.params.base import ParamsError, Section
from stillhouse.params.files import RUNTIME_FILE, parse, read_yaml, with_new_names
from stillhouse.params.filter import FilterRuntime, NgramFilter

KEYS = ("defaults", "filter", "students", "teachers")


def runtime_of(
    section: type[Section], kind: str, file_id: str, root: Path = Path()
) -> dict[str, Any]:
    """Return the entry of one teacher or student in conf/runtime.yaml, merged over `defaults`; {} without the file.

    Args:
        section: the model of an entry; old names of its keys are replaced, with a warning.
        kind: "teachers" or "students".
        file_id: the teacher's or student's id.
        root: the project.

    Raises:
        ParamsError: the file is not YAML, has an unknown top-level key, is not a mapping of mappings, or has a key
            under its old name and its new one.
    """
    path = root / RUNTIME_FILE
    content = _content(path)
    own: dict[str, Any] = {}
    for keys in (("defaults", kind), (kind, file_id)):
        found: Any = content
        for key in keys:
            found = found.get(key) or {}
            if not isinstance(found, dict):
                raise ParamsError(f"{path}: {'.'.join(keys)}: a mapping of keys was expected")
        own |= with_new_names(section, found, f"{path}: {'.'.join(keys)}")
    return own


def filter_runtime(ngram: NgramFilter, root: Path = Path()) -> FilterRuntime:
    """Return the section `filter` of conf/runtime.yaml, or its defaults.

    Args:
        ngram: the section filter.ngram of params.yaml, whose `memory_mb` of version 0.2 counts where it is set.
        root: the project.

    Raises:
        ParamsError: the file or the section has a fault.
    """
    path = root / RUNTIME_FILE
    found = parse(FilterRuntime, _content(path).get("filter") or {}, f"{path}: filter")
    if ngram.memory_mb is None:
        return found
    return FilterRuntime(ngram_memory_mb=ngram.memory_mb)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_yaml(path)
    if unknown := sorted(set(content) - set(KEYS)):
        raise ParamsError(f"{path}: {unknown[0]}: unknown key; allowed here: {', '.join(KEYS)}")
    return content


def old_runtime(path: Path) -> str:
    """Return the warning about a `runtime` section in a teacher's or student's file, which version 0.2 still reads."""
    return f"{path}: runtime: move it to {RUNTIME_FILE} ({path.parent.name}.{path.stem}); here it will be an error"
