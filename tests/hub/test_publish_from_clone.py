"""Both commands that publish, run in a clean clone of a finished run; then every configuration is pulled and loaded."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM, AutoTokenizer

from stillhouse.hashing import file_sha256
from stillhouse.hub.pull import pull
from stillhouse.package.manifest import MANIFEST, release_files
from stillhouse.package.model_card import write_model_card
from stillhouse.package.write import write_release
from tests.hub.stand_in import HubStandIn
from tests.package.release_fixture import CARDS, TEACHERS, facts, teacher, write_tables
from tests.package.test_model_card import student_facts

ROOT = Path(__file__).parents[2]
CODE = (
    "Makefile",
    "stages",
    "src",
    "requirements",
    "publish/dvc.yaml",
    "publish/students/dvc.yaml",
    ".dvcignore",
)
STUDENT = "small"
SEEDS = [7, 8]  # of which the first is published
VERSION = "0.1.0"  # the one that dataset_cards/changelog.md has
# Stages that made the outs of a run; here they copy what was made before.
PIPELINE = {
    "code": {"cmd": "python stages/code_hash.py", "deps": ["src", "stages"], "outs": ["code"]},
    "package": {"cmd": "cp -r {made}/release data/release", "outs": ["data/release"]},
    "sft": {
        "cmd": "cp -r {made}/models .",
        "outs": [f"models/{STUDENT}/{teacher}/{SEEDS[0]}" for teacher in TEACHERS],
    },
    "model_card": {
        "cmd": "cp -r {made}/model_cards data/",
        "outs": [f"data/model_cards/{STUDENT}"],
    },
}
Run = Callable[..., str]


def make_outs(made: Path, tiny_model: Path) -> dict[str, Any]:
    """Write release, weights and cards of a run, and return the section `package` of its parameters."""
    package = {"version": VERSION}
    run = facts(package=package)
    write_release(made / "release", write_tables(made / "tables"), run, CARDS)
    for teacher_id in TEACHERS:
        shutil.copytree(tiny_model, made / "models" / STUDENT / teacher_id / str(SEEDS[0]))
        card = student_facts(
            package=run.package, teacher_id=teacher_id, teacher=teacher(), student_id=STUDENT
        )
        write_model_card(made / "model_cards" / STUDENT / teacher_id, card, CARDS)
    return run.package.model_dump(mode="json")


@pytest.fixture
def run(hub_environment: dict[str, str]) -> Run:
    """Run a command in a folder and return what it prints; only the real commands and the Hub's stand-in take part."""
    binaries = str(Path(sys.executable).parent)
    names = {
        f"GIT_{kind}_{what}": "test@test"
        for kind in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    environment = hub_environment | names | {"DVC_NO_ANALYTICS": "1"}
    environment["PATH"] = f"{binaries}:{os.environ['PATH']}"

    def run(folder: Path, *command: str, fails: bool = False) -> str:
        environment["PYTHONPATH"] = str(folder / "src")
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def clone(tmp_path: Path, tiny_model: Path, run: Run) -> Path:
    """A clone of a project that has run, with nothing but what git and the DVC remote give."""
    project, remote = tmp_path / "project", tmp_path / "remote"
    package = make_outs(tmp_path / "made", tiny_model)
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        ignore = (
            {"ignore": shutil.ignore_patterns("__pycache__", "*.egg-info")}
            if (ROOT / name).is_dir()
            else {}
        )
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, project / name, **ignore)
    stages = json.loads(json.dumps(PIPELINE).replace("{made}", str(tmp_path / "made")))
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    params = {
        "compared_ids": [*TEACHERS, "alias"],
        "student_ids": [STUDENT],
        "training_seeds": SEEDS,
        "controls": {"alias": ["alias"], "shuffled": []},
        "package": package,
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / ".gitignore").write_text("/code/\n/data/\n/models/\n__pycache__/\n")
    (project / "data/model_cards").mkdir(parents=True)
    run(project, "git", "init", "-q")
    run(project, "dvc", "init", "-q", "-f")
    shutil.copy2(ROOT / ".dvcignore", project)
    run(project, "dvc", "remote", "add", "-d", "here", str(remote))
    run(project, "dvc", "repro")
    run(project, "dvc", "push")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "a run")
    run(tmp_path, "git", "clone", "-q", str(project), "clone")
    shutil.rmtree(project)
    shutil.rmtree(tmp_path / "made")
    run(tmp_path / "clone", "dvc", "pull")
    return tmp_path / "clone"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lfs", "xet"], indirect=True)
def test_a_clean_clone_publishes_and_everything_is_pulled_and_loaded(
    hub: HubStandIn, api: HfApi, clone: Path, run: Run, tmp_path: Path, mode: str
) -> None:
    run(clone, "make", "-o", ".venv/.ready", "publish")
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-q", "-m", "receipts")
    run(clone, "make", "-o", ".venv/.ready", "publish-students")
    by_xet = hub.requests("POST /cas/v2/shards")
    assert bool(by_xet) == (mode == "xet")

    receipts = [json.loads(path.read_text()) for path in clone.glob("publish/receipts/*.json")]
    assert {receipt["repo"] for receipt in receipts} == {
        f"tester/parallel_sums-{name}" for name in (*TEACHERS, "parallel")
    }
    for receipt in receipts:
        folder = receipt["repo"].rpartition("-")[2]
        pulled = pull(receipt["repo"], f"v{VERSION}", tmp_path / "pulled" / folder, api=api)
        same(pulled, clone / "data/release" / folder)
        head = yaml.safe_load((pulled / "README.md").read_text().split("---\n")[1])
        rows = {
            entry["path"]: entry["rows"]
            for entry in json.loads((pulled / MANIFEST).read_text())["files"]
        }
        for config in head["configs"]:
            (files,) = config["data_files"]
            loaded = load_dataset(
                str(pulled), config["config_name"], split="train", cache_dir=str(tmp_path / "cache")
            )
            place = files["path"].rpartition("/")[0]
            assert (
                loaded.num_rows
                == sum(n for path, n in rows.items() if n and path.rpartition("/")[0] == place)
                > 0
            )

    students = [
        json.loads(path.read_text()) for path in clone.glob("publish/students/receipts/*/*.json")
    ]
    assert {receipt["repo"] for receipt in students} == {
        f"tester/parallel_sums-{t}-{STUDENT}" for t in TEACHERS
    }
    for receipt in students:
        pulled = pull(
            receipt["repo"], f"v{VERSION}", tmp_path / receipt["repo"], api=api, repo_type="model"
        )
        tokens = AutoTokenizer.from_pretrained(pulled)("One and one", return_tensors="pt")
        assert AutoModelForCausalLM.from_pretrained(pulled)(**tokens).logits.isfinite().all()


def same(pulled: Path, released: Path) -> None:
    assert {name: file_sha256(pulled / name) for name in release_files(pulled)} == {
        name: file_sha256(released / name) for name in release_files(released)
    }


@pytest.mark.slow
def test_a_version_that_the_changelog_lacks_is_refused(
    hub: HubStandIn, clone: Path, run: Run
) -> None:
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace(f"version: {VERSION}", "version: 0.2.0"))
    run(clone, "git", "commit", "-q", "-a", "-m", "a version")
    told = run(clone, "stillhouse", "publish", fails=True)
    assert (
        "the changelog does not have version 0.2.0; describe it in dataset_cards/changelog.md"
        in told
    )
    assert hub.log == []
