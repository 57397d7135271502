"""Which packages import which: no circle, and the packages of stages know each other only where listed here."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/stillhouse"
# Of all stages, these packages import another one's: docs/design.md has the reasons.
BETWEEN_STAGES = {
    "benchmark": {"analysis", "generate", "queries", "sft", "verify"},
    "filter": {"verify"},
    "generate": {"verify"},
    "hub": {"package"},
    "package": {"verify"},
    "queries": {"verify"},
    "report": {"analysis", "verify"},
}
# All may import these.
SHARED = {"journal", "models", "params", "tables"}
MOST_LINES = 60  # of a stage script


def imports() -> dict[str, set[str]]:
    """Return for each package and module of stillhouse which others it imports, in functions too."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stillhouse"):
                first, *rest = node.module.split(".")[1:] or [a.name for a in node.names]
                found[own].update({first} if node.module != "stillhouse" else {first, *rest})
        found[own].discard(own)
    return found


def test_no_circle():
    TopologicalSorter(imports()).prepare()


def test_packages_of_stages_import_each_other_only_where_listed():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    of_stages = packages - SHARED - {"cli", "code_hash"}
    between = {name: found & of_stages for name, found in imports().items() if name in of_stages}
    assert {name: found for name, found in between.items() if found} == BETWEEN_STAGES


def test_shared_packages_import_none_of_a_stage():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    for name in SHARED:
        assert imports()[name] & packages <= SHARED


def test_no_two_public_classes_have_one_name():
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    assert places
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("script", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_a_stage_script_is_short(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
