"""What a removed teacher leaves is deleted before a stage over all teachers records the hash of its folders."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stillhouse.leftovers import (
    BY_STUDENT,
    BY_TEACHER,
    BY_TRAINING,
    FILES_BY_TEACHER,
    remove_leftovers,
    remove_student_leftovers,
)

ROOT = Path(__file__).resolve().parents[1]


def test_every_folder_that_stages_share_among_teachers_or_students_is_known() -> None:
    shared = set()
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                path = out if isinstance(out, str) else next(iter(out))
                if name != "shuffle" and (found := re.match(r"(.+?)/\$\{item\.\w+\}", path)):
                    shared.add(found[1])
    # No stage depends on all of what `shuffle` makes.
    assert shared == {*BY_TEACHER, *FILES_BY_TEACHER, *BY_STUDENT, *BY_TRAINING}


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def existing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_only_the_outs_of_others_are_deleted(tmp_path: Path) -> None:
    kept = {
        "data/filtered/a/accepted/0.parquet",
        "metrics/filter/a.json",
        "data/filtered/.gitignore",
        "metrics/effort/a.json",
        "metrics/effort/filter/a.json",
        "data/fit/small/lengths/0.parquet",
        "metrics/fit/small.json",
        "data/aligned/old/0.parquet",
        "models/small/a/7/config.json",
        "metrics/benchmark/small.json",
        "plots/sft/small/a/7.csv",
    }
    of_teacher = {
        "data/filtered/old/accepted/0.parquet",
        "metrics/filter/old.json",
        "metrics/effort/old.json",
        "metrics/effort/filter/old.json",
    }
    of_student = {
        "models/a/big/config.json",  # the place of version 0.2
        "metrics/benchmark/big.json",
        "data/samples_untrained/big/0.parquet",
        "data/fit/big/lengths/0.parquet",
        "metrics/fit/big.json",
        "plots/sft/big/a/7.csv",
    }
    touch(tmp_path, *kept, *of_teacher, *of_student)
    remove_leftovers(["a"], root=tmp_path)
    assert existing(tmp_path) == kept | of_student
    remove_leftovers(["a"], ["small"], root=tmp_path)
    assert existing(tmp_path) == kept


def test_other_teachers_and_seeds_of_a_student_are_deleted(tmp_path: Path) -> None:
    kept = {
        "models/small/a/7/config.json",
        "models/small/a_shuffled/7/config.json",
        "models/big/old/8/config.json",  # another student's
        "plots/sft/small/a/7.csv",
        "models/small/a/.gitignore",
    }
    gone = {
        "models/small/old/7/config.json",
        "models/small/a/8/config.json",
        "plots/sft/small/a/8.csv",
    }
    touch(tmp_path, *kept, *gone)
    remove_student_leftovers(["small"], ["a", "a_shuffled"], [7], tmp_path)
    assert existing(tmp_path) == kept


PIPELINE = f"""
stages:
  filter:
    matrix: {{teacher: "${{teacher_ids}}"}}
    cmd: mkdir -p data/filtered/${{item.teacher}} && echo row > data/filtered/${{item.teacher}}/rows
    outs: ["data/filtered/${{item.teacher}}"]
  align:
    cmd: {sys.executable} align.py
    params: [teacher_ids]
    deps: [data/filtered]
    outs: [aligned.txt]
"""
ALIGN = """
from pathlib import Path
from stillhouse.leftovers import remove_leftovers
from stillhouse.params.tracked import tracked_params
teachers = tracked_params("align")["teacher_ids"]
remove_leftovers(teachers)
Path("aligned.txt").write_text(" ".join(teachers))
"""


def run(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    words = ["git", *identity, *command[1:]] if command[0] == "git" else list(command)
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def use(folder: Path, *teachers: str) -> None:
    """Run and commit the pipeline with these teachers."""
    (folder / "params.yaml").write_text(f"teacher_ids: [{', '.join(teachers)}]\n", encoding="utf-8")
    run(folder, "dvc", "repro", "--quiet")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "--quiet", "-m", f"Teachers {teachers}")


def test_a_renamed_teacher_leaves_nothing_to_run_in_a_fresh_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    project, clone = tmp_path / "project", tmp_path / "clone"
    project.mkdir()
    (project / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (project / "align.py").write_text(ALIGN, encoding="utf-8")
    run(project, "git", "init", "--quiet")
    run(project, "dvc", "init", "--quiet")
    run(project, "dvc", "remote", "add", "--default", "store", str(tmp_path / "remote"))
    use(project, "alpha", "beta")
    use(project, "alpha", "gamma")
    assert sorted(path.name for path in (project / "data/filtered").iterdir()) == [
        ".gitignore",
        "alpha",
        "gamma",
    ]
    run(project, "dvc", "push", "--quiet")
    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    run(clone, "dvc", "pull", "--quiet")
    assert "Running stage" not in run(clone, "dvc", "repro", "--dry", "--allow-missing")
