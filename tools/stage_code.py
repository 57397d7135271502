"""Which code a stage depends on: the import closure of its script, as the deps of dvc.yaml must list it.

A change of any line that a stage runs has to run the stage again, and a change of any other line must not. `--write`
brings dvc.yaml up to date; without it the differences are printed and the exit code is 1 if there are any.
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("src/stillhouse")
# Code that a stage runs by path and not by import: in another environment, or inside the sandbox.
RUN_BY_PATH = {
    "stages/audit.py": ["src/stillhouse/verify/referee.py"],
    "stages/generate.py": ["src/stillhouse/verify/referee.py"],
    "stages/verify.py": ["src/stillhouse/verify/referee.py"],
    "stages/benchmark.py": [
        f"src/stillhouse/benchmark/{name}.py"
        for name in ("lighteval_main", "lighteval_model", "tasks")
    ],
}


def imports_of(path: Path) -> set[Path]:
    """Return the project modules that a file imports anywhere, in functions too, but not under TYPE_CHECKING."""
    found: set[Path] = set()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found |= _files(name)
    return found


def _files(name: str) -> set[Path]:
    if name != "stillhouse" and not name.startswith("stillhouse."):
        return set()
    stem = Path("src") / Path(*name.split("."))
    module, package = stem.with_suffix(".py"), stem / "__init__.py"
    found = {p for p in (module, package) if (ROOT / p).is_file()}
    parents = [
        Path("src") / Path(*name.split(".")[:i]) / "__init__.py"
        for i in range(1, name.count(".") + 1)
    ]
    return found | {p for p in parents if (ROOT / p).is_file()}


def closure(script: str) -> list[str]:
    """Return the script, all it imports, and the folders of data files beside those modules, sorted."""
    done: set[Path] = set()
    open_ = {Path(script), *map(Path, RUN_BY_PATH.get(script, []))}
    while open_:
        path = open_.pop()
        done.add(path)
        open_ |= imports_of(path) - done
    folders = {path.parent for path in done if path.name != "__init__.py" and path.parent != SOURCE}
    data = {
        child.relative_to(ROOT)
        for folder in folders
        for child in (ROOT / folder).iterdir()
        if child.is_dir() and child.name != "__pycache__" and not (child / "__init__.py").exists()
    }
    return sorted(str(path) for path in done | data)


def is_code(dep: Any) -> bool:
    """Whether a dep of dvc.yaml is one of the lines kept by this tool, a misspelt one too."""
    return isinstance(dep, str) and Path(dep).parts[0] in ("src", "stages")


def script_of(stage: dict[str, Any]) -> str:
    """Return the script that a stage's cmd runs."""
    return next(word for word in str(stage["cmd"]).split() if word.endswith(".py"))


def differences(pipeline: dict[str, Any]) -> list[str]:
    """Return one line per stage whose code deps are not its closure."""
    lines = []
    for name, stage in pipeline["stages"].items():
        declared = {dep for dep in stage.get("deps", []) if is_code(dep)}
        actual = set(closure(script_of(stage)))
        if missing := actual - declared:
            lines.append(f"{name}: missing {', '.join(sorted(missing))}")
        if extra := declared - actual:
            lines.append(f"{name}: not imported {', '.join(sorted(extra))}")
    return lines


def missing_paths(pipelines: dict[str, dict[str, Any]], params: dict[str, Any]) -> list[str]:
    """Return one line per path of a stage that neither git tracks nor a stage makes.

    Args:
        pipelines: the content of each dvc.yaml, by its path from the project's root.
        params: the content of params.yaml, whose ids the templates of paths are filled with.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = {Path(name) for name in listed.stdout.split("\0") if name}
    tracked |= {folder for path in tracked for folder in path.parents}
    stages = [
        (f"{name}: {stage}", content)
        for name, pipeline in pipelines.items()
        for stage, content in pipeline["stages"].items()
    ]
    made = {
        path
        for _, stage in stages
        for path in _paths([*stage.get("outs", []), *stage.get("metrics", [])], params)
    }
    made_in = {folder for path in made for folder in path.parents}  # stages that take all teachers
    lines = []
    for where, stage in stages:
        files = [entry for entry in stage.get("params", []) if isinstance(entry, dict)]
        for path in sorted(_paths([*stage.get("deps", []), *files, script_of(stage)], params)):
            if path not in tracked | made | made_in and not made.intersection(path.parents):
                lines.append(f"{where}: {path} does not exist")
    return lines


def _paths(entries: list[Any], params: dict[str, Any]) -> set[Path]:
    """Return the paths of a stage's entries; a template gives one for each id that it is filled with."""
    return {
        Path(
            str(next(iter(entry)) if isinstance(entry, dict) else entry)
            .replace("${verify.judge.model}", str(params["verify"]["judge"]["model"]))
            .replace("${item.teacher}", teacher)
            .replace("${item.student}", student)
        )
        for entry in entries
        for teacher in params["teacher_ids"]
        for student in params["student_ids"]
    }


def main() -> int:
    """Print or fix the differences of all pipelines."""
    from ruamel.yaml import YAML

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring dvc.yaml up to date")
    write = parser.parse_args().write
    yaml = YAML()
    yaml.width = 160
    yaml.indent(mapping=2, sequence=4, offset=2)
    stale = 0
    pipelines = {}
    for path in (ROOT / "dvc.yaml", ROOT / "publish/dvc.yaml", ROOT / "publish/students/dvc.yaml"):
        pipeline = yaml.load(path)
        for line in differences(pipeline):
            stale += 1
            print(f"{path.relative_to(ROOT)}: {line}")
        if write:
            for stage in pipeline["stages"].values():
                others = [dep for dep in stage.get("deps", []) if not is_code(dep)]
                stage["deps"] = closure(script_of(stage)) + others
            yaml.dump(pipeline, path)
        pipelines[str(path.relative_to(ROOT))] = pipeline
    for line in missing_paths(pipelines, yaml.load(ROOT / "params.yaml")):
        stale += 1
        print(line)
    return 0 if write or not stale else 1


if __name__ == "__main__":
    sys.exit(main())
