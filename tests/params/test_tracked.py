"""What a stage is given equals what DVC says that it tracks."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stillhouse.params import tracked
from stillhouse.params.base import ParamsError
from stillhouse.params.files import read_yaml
from stillhouse.params.tracked import tracked_params

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ["dvc.yaml", "params.yaml", "conf", "publish/dvc.yaml", "publish/students/dvc.yaml"]


def project(folder: Path) -> Path:
    """Copy the files that declare the pipeline into a DVC project of their own."""
    for name in PROJECT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    Repo.init(folder, no_scm=True).close()
    return folder


def by_dvc(folder: Path) -> dict[str, dict[str, object]]:
    """Return the tracked parameters of every stage, as DVC reads them."""
    with Repo(folder) as repo:
        found = {}
        for stage in repo.index.stages:
            values: dict[str, object] = {}
            for dep in stage.params:
                path = Path(dep.fs_path).relative_to(folder)
                prefix = "" if str(path) == "params.yaml" else f"{path}:"
                values |= {
                    f"{prefix}{key}": value for key, value in dep.read_params(flatten=True).items()
                }
            found[stage.addressing] = values
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def test_every_stage_of_the_project_gets_what_dvc_tracks_for_it(here: Path) -> None:
    expected = by_dvc(here)
    assert {"queries", "generate@worked", "publish/dvc.yaml:publish"} <= expected.keys()
    assert "publish/students/dvc.yaml:publish_student@worked-smollm2_135m" in expected
    for stage, values in expected.items():
        assert tracked_params(stage) == values, stage


def test_values_keep_the_types_that_dvc_gives_them(here: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    changed = text.replace("threshold: 0.9", "threshold: 1e-5").replace(
        "reward: null", "reward: no"
    )
    assert changed.count("1e-5") == 1
    assert changed.count("reward: no") == 1
    Path("params.yaml").write_text(changed, encoding="utf-8")
    assert tracked_params("verify@worked") == by_dvc(here)["verify@worked"]
    assert tracked_params("verify@worked")["verify"]["reward"] == "no"


def test_a_hundred_teachers_have_no_more_files_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["teacher_ids"] = [f"teacher_{number}" for number in range(100)] + ["worked"]
    yaml.dump(params, Path("params.yaml"))
    read: list[Path] = []

    def counted(path: Path) -> dict[str, object]:
        read.append(path)
        return read_yaml(path)

    monkeypatch.setattr(tracked, "read_yaml", counted)
    tracked_params("generate@worked")
    assert sorted(map(str, read)) == [
        "conf/teachers/smollm2_judge.yaml",
        "conf/teachers/worked.yaml",
        "dvc.yaml",
        "params.yaml",
    ]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("no_such", r"dvc\.yaml: no stage 'no_such'; run dvc in the project's root folder"),
        (
            "generate@nobody",
            r"dvc\.yaml: generate@nobody: the lists of its matrix have no such combination",
        ),
        ("elsewhere/dvc.yaml:publish", r"elsewhere/dvc\.yaml: no such file"),
    ],
)
def test_a_stage_that_is_not_there_is_named(here: Path, stage: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        tracked_params(stage)


def test_a_missing_key_is_named_with_its_file(here: Path) -> None:
    teacher = Path("conf/teachers/worked.yaml")
    teacher.write_text(
        teacher.read_text(encoding="utf-8").replace("teacher:", "tutor:"), encoding="utf-8"
    )
    with pytest.raises(ParamsError, match=r"conf/teachers/worked\.yaml: teacher: missing key"):
        tracked_params("generate@worked")
