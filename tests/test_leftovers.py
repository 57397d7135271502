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
    FILES_BY_TEACHER,
    OF_STUDENT,
    remove_leftovers,
)

ROOT = Path(__file__).resolve().parents[1]


def test_every_folder_that_a_stage_shares_among_teachers_is_known() -> None:
    shared = set()
    of_student = set()
    for stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                path = out if isinstance(out, str) else next(iter(out))
                if found := re.match(r"(.+?)/\$\{item\.teacher\}", path):
                    shared.add(found[1])
                elif found := re.match(r"(.+?)/\$\{item\.student\}", path):
                    of_student.add(found[1])
    assert shared == {*BY_TEACHER, *FILES_BY_TEACHER, *BY_STUDENT}
    assert of_student == {*OF_STUDENT}


def test_only_the_outs_of_others_are_deleted(tmp_path: Path) -> None:
    kept = [
        "data/filtered/a/accepted/0.parquet",
        "metrics/filter/a.json",
        "data/filtered/.gitignore",
    ]
    kept += ["metrics/effort/a.json", "metrics/effort/filter/a.json"]
    kept += ["models/a/small/config.json", "plots/sft/a/small.csv", "data/aligned/old/0.parquet"]
    gone = [
        "data/filtered/old/accepted/0.parquet",
        "metrics/filter/old.json",
        "metrics/effort/old.json",
        "metrics/effort/filter/old.json",
        "models/old/small/config.json",
    ]
    kept += ["data/fit/small/lengths/0.parquet", "metrics/fit/small.json"]
    of_student = ["models/a/big/config.json", "plots/sft/a/big.csv"]
    of_student += ["data/fit/big/lengths/0.parquet", "metrics/fit/big.json"]
    for name in kept + gone + of_student:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers(["a"], root=tmp_path)
    assert all((tmp_path / name).exists() for name in kept + of_student + gone[-1:])
    assert not any((tmp_path / name).exists() for name in gone[:-1])
    remove_leftovers(["a"], ["small"], root=tmp_path)
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in gone + of_student)


def test_a_teacher_that_is_only_asked_has_no_students(tmp_path: Path) -> None:
    kept = ["data/filtered/asked/0.parquet", "models/a/small/config.json"]
    gone = ["models/asked/small/config.json", "data/samples/asked/small/0.parquet"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_leftovers(["a", "asked"], ["small"], ["a"], root=tmp_path)
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in gone)


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
