"""What DVC does not check about our pipelines: that paths exist, and that stages depend on their code.

Usage: python tools/stage_code.py [STAGE]. Without a stage: print what is wrong, with exit code 1 if there is anything.
With one: list the parts of its code, one a line, to compare before and after a change.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from stillhouse.code_hash.digest import Hasher
from stillhouse.code_hash.record import FOLDER, OWN_STAGE, PLUGIN_HASH, STAGES, SUFFIX, scripts
from stillhouse.code_hash.source import CodeHashError

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = ("dvc.yaml", "publish/dvc.yaml", "publish/students/dvc.yaml")


def script_of(stage: dict[str, Any]) -> str:
    """Return the script that a stage's cmd runs."""
    return next(word for word in str(stage["cmd"]).split() if word.endswith(".py"))


def without_code(pipelines: dict[str, dict[str, Any]]) -> list[str]:
    """Return one line per stage that does not depend on the hash of its own code, or depends on another's."""
    lines = []
    for path, pipeline in pipelines.items():
        for name, stage in pipeline["stages"].items():
            script = Path(script_of(stage)).stem
            wanted = [] if script == OWN_STAGE else [f"{FOLDER}/{script}{SUFFIX}"]
            if wanted and "plugins" in stage.get("params", []):
                wanted.append(f"{FOLDER}/{PLUGIN_HASH}{SUFFIX}")
            listed = [d for d in stage.get("deps", []) if str(d).startswith(f"{FOLDER}/")]
            if listed != wanted:
                lines.append(
                    f"{path}: {name}: of {FOLDER}/ its deps must have {wanted}, not {listed}"
                )
    return lines


def uncomputable(root: Path) -> list[str]:
    """Return one line per stage whose code cannot be hashed, with the reason."""
    hasher = Hasher(root)
    lines = []
    for name in scripts(root):
        try:
            hasher.digest(STAGES / f"{name}.py")
        except CodeHashError as error:
            lines.append(f"{name}: {error}")
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
    seeds = params["training_seeds"]
    return {
        Path(
            str(next(iter(entry)) if isinstance(entry, dict) else entry)
            .replace("${verify.judge.model}", str(params["verify"]["judge"]["model"]))
            .replace("${training_seeds[0]}", str(seeds[0]))
            .replace("${item.teacher}", teacher)
            .replace("${item.student}", student)
            .replace("${item.seed}", str(seed))
        )
        for entry in entries
        for teacher in params["teacher_ids"]
        for student in params["student_ids"]
        for seed in seeds
    }


def main() -> int:
    """Print the parts of one stage, or the faults of all pipelines."""
    from ruamel.yaml import YAML

    if len(sys.argv) > 1:
        print("\n".join(Hasher(ROOT).parts(STAGES / f"{sys.argv[1]}.py")))
        return 0
    yaml = YAML(typ="safe")
    pipelines = {path: yaml.load(ROOT / path) for path in PIPELINES}
    faults = [
        *without_code(pipelines),
        *missing_paths(pipelines, yaml.load(ROOT / "params.yaml")),
        *uncomputable(ROOT),
    ]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
