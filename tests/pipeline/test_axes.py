"""The axes of the comparison under DVC: what a new seed, control or student family runs, and what it leaves alone.

The stages are those of dvc.yaml from `shuffle` to `model_card`. In place of their scripts a double writes the outs.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("shuffle", "sft", "sft_shuffled", "benchmark", "benchmark_untrained", "model_card")
# Writes every out of the stage that DVC runs; its content depends on the stage alone.
DOUBLE = """
import os
from pathlib import Path
from ruamel.yaml import YAML

name, _, values = os.environ["DVC_STAGE"].partition("@")
stage = YAML(typ="safe").load(Path("dvc.yaml"))["stages"][name]
item = dict(zip(stage["matrix"], values.split("-")))
for out in [*stage["outs"], *(next(iter(plot)) for plot in stage.get("plots", []))]:
    for key, value in item.items():
        out = out.replace("${item.%s}" % key, value)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text("step,loss\\\\n1,2\\\\n")
    else:
        path.write_text(f"{name} {values}")
"""


class Axes:
    """A project with two teachers and one student, whose data were made elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binaries = str(Path(sys.executable).parent)
        self._environment = os.environ | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
        }
        all_stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
        stages = {name: all_stages[name] for name in STAGES}
        with (folder / "dvc.yaml").open("w") as file:
            YAML().dump({"stages": stages}, file)
        for stage in stages.values():
            script = folder / stage["cmd"].split()[1]
            script.parent.mkdir(exist_ok=True)
            script.write_text(DOUBLE)
            for dep in stage["deps"]:
                if "$" not in dep:
                    self.write(dep, "made elsewhere")
        for teacher in ("a", "b"):
            self.write(f"data/aligned/{teacher}", teacher)
            for student in ("s", "t"):
                self.write(f"data/fit/{student}/ids/{teacher}", teacher)
                self.write(f"metrics/fit/{student}.json", "{}")
        self.params = YAML(typ="safe").load(ROOT / "params.yaml") | {
            "teacher_ids": ["a", "b"],
            "compared_ids": ["a", "b"],
            "student_ids": ["s"],
            "training_seeds": [1],
        }
        for student in ("s", "t"):
            self.write(f"conf/students/{student}.yaml", f"student: {{label: {student}}}\n")
        for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            subprocess.run(command, cwd=folder, env=self._environment, check=True)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def repro(self, **changed: object) -> list[str]:
        """Change parameters, run the pipeline, and return the stages that ran."""
        self.params |= changed
        with (self.folder / "params.yaml").open("w") as file:
            YAML().dump(self.params, file)
        done = subprocess.run(
            ["dvc", "repro"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(re.findall(r"Running stage '([^']+)'", done.stdout))


@pytest.fixture
def axes(tmp_path: Path) -> Axes:
    return Axes(tmp_path)


def test_each_axis_runs_what_it_adds_and_nothing_else(axes: Axes) -> None:
    assert axes.repro() == [
        "benchmark@s",
        "benchmark_untrained@s",
        "model_card@s",
        "sft@a-s-1",
        "sft@b-s-1",
    ]
    # A seed: the other students stay, and so does the untrained one.
    assert axes.repro(training_seeds=[1, 2]) == [
        "benchmark@s",
        "model_card@s",
        "sft@a-s-2",
        "sft@b-s-2",
    ]
    # A control: no other student is trained.
    assert axes.repro(controls={"alias": [], "shuffled": ["b"]}) == [
        "benchmark@s",
        "model_card@s",
        "sft_shuffled@b-s-1",
        "sft_shuffled@b-s-2",
        "shuffle@b",
    ]
    assert (axes.folder / "models/s/b_shuffled/2").is_file()
    # A family: the first one is not asked again.
    assert axes.repro(student_ids=["s", "t"]) == [
        "benchmark@t",
        "benchmark_untrained@t",
        "model_card@t",
        *(f"sft@{teacher}-t-{seed}" for teacher in "ab" for seed in (1, 2)),
        *(f"sft_shuffled@b-t-{seed}" for seed in (1, 2)),
    ]
    assert axes.repro() == []


def test_a_teacher_that_is_no_longer_compared_makes_no_other_train_again(axes: Axes) -> None:
    axes.repro()
    assert axes.repro(compared_ids=["a"]) == ["benchmark@s", "model_card@s"]


def test_without_students_no_stage_is_left(axes: Axes) -> None:
    assert axes.repro(student_ids=[]) == []
