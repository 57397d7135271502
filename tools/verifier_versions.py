"""Hold each verifier's version and its code together: a verdict is stored under the version, never under the code.

tests/verify/versions.json has, per verifier, its VERSION and a hash of what decides its verdicts: the module and the
modules of stillhouse.verify that it imports, and the files that they name (the referee, prompts). Of Python, comments,
docstrings and layout do not count, nor does the module of another package that a name is imported from. After a change
that can change a verdict, raise VERSION in the module; then write.

Usage: python tools/verifier_versions.py [--write]
"""

import ast
import functools
import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import TypeGuard

SOURCE = Path("src/stillhouse")
VERIFY = SOURCE / "verify"
RECORD = Path("tests/verify/versions.json")
PACKAGE = "stillhouse.verify."
# By name in the record: the module, and the name of its version.
VERIFIERS = {
    "math_rule": ("rules.math", "VERSION"),
    "science_rule": ("rules.science", "VERSION"),
    "code_tests": ("code.check", "VERSION"),
    "ifeval": ("rules.ifeval", "VERSION"),
    "judge": ("judge", "VERSION"),
    "judge_demands": ("demands", "VERSION"),
    "reward_model": ("reward", "VERSION"),
    "pool": ("pool", "VERSION"),
    "grading": ("grade", "GRADING_VERSION"),
}
# How checks are made and combined. What these import has versions of its own.
GRADING = ("grade", "custom", "references")
# Shared by all and of no verifier's own: the names of reasons.
LEFT_OUT = {"checks"}
# A prompt becomes what a model reads here.
BESIDE = {"judge": [SOURCE / "models/chat.py"], "demands": [SOURCE / "models/chat.py"]}


def current() -> dict[str, dict[str, str]]:
    """Return version and hash of every verifier as they are now."""
    found = {}
    for name, (module, constant) in VERIFIERS.items():
        holder = "checks" if name == "grading" else module
        version = getattr(importlib.import_module(PACKAGE + holder), constant)
        found[name] = {"version": version, "sha256": _hash(name, module)}
    return found


def unversioned(recorded: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> list[str]:
    """Return the verifiers whose code has changed while their version has not."""
    return [
        name
        for name, entry in now.items()
        if name in recorded
        and recorded[name]["version"] == entry["version"]
        and recorded[name]["sha256"] != entry["sha256"]
    ]


def _hash(name: str, module: str) -> str:
    code = {_file(m) for m in GRADING} if name == "grading" else _with_imports(module)
    named: set[Path] = set().union(*map(_named_files, code))
    code |= {path for holder, paths in BESIDE.items() if _file(holder) in code for path in paths}
    digest = hashlib.sha256()
    for path in sorted(code | named):
        text = path.read_text(encoding="utf-8")
        digest.update(f"{path.relative_to(SOURCE)}\0".encode())
        digest.update((meaning(text) if path.suffix == ".py" else text).encode() + b"\0")
    return digest.hexdigest()


def _file(module: str) -> Path:
    """Return the file of a module of the package, named without the package ("math", "formula.parser")."""
    path = VERIFY / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _with_imports(module: str) -> set[Path]:
    """Return the files of a module of the package and of all that it imports of the package."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in LEFT_OUT or path in found or not path.is_file():  # a name that is no module
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(PACKAGE):
                inside = f"{node.module}.".removeprefix(PACKAGE)
                waiting += [inside.rstrip("."), *(inside + alias.name for alias in node.names)]
    return found


def _named_files(path: Path) -> set[Path]:
    """Return the files that a module names in a text: "referee" for a folder, "math_v1" for a prompt."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.isprintable()
    }
    named: set[Path] = set()
    for text in filter(str.isidentifier, texts):
        named.add(VERIFY / "prompts" / f"{text}.jinja")
        named |= set((path.parent / text).glob("*.py"))
    return {file for file in named if file.is_file()}


@functools.cache
def meaning(source: str) -> str:
    """Return a Python text without comments, docstrings, layout, its version, and the packages it imports from."""
    tree = ast.parse(source)
    imports = [node for node in tree.body if _of_another_package(node)]
    imported = sorted(alias.asname or alias.name for node in imports for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "VERSION"
        )
        and node not in imports
    ]
    return f"{imported}{ast.dump(tree)}"


def _of_another_package(node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    if not isinstance(node, ast.ImportFrom):
        return False
    name = f"{node.module}."
    return name.startswith("stillhouse.") and not name.startswith(PACKAGE)


def main() -> None:
    """Compare, or write what is now."""
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    now = current()
    if wrong := unversioned(recorded, now):
        where = ", ".join(f"{name} (verify/{VERIFIERS[name][0]}.py)" for name in wrong)
        sys.exit(
            f"the code has changed and VERSION has not: {where}. Stored verdicts of the old code would be taken for "
            "those of the new: raise VERSION (a change that can change no verdict needs it too), then run "
            "`python tools/verifier_versions.py --write`"
        )
    if "--write" in sys.argv[1:]:
        RECORD.write_text(json.dumps(now, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif recorded != now:
        sys.exit(f"{RECORD} is out of date: run `python tools/verifier_versions.py --write`")


if __name__ == "__main__":
    main()
