"""Files written before a parameter was renamed: read for one version, with a warning that names file and key."""

import json
import warnings
from pathlib import Path

import pytest

from stillhouse.params.base import ParamsError
from stillhouse.params.load import load_student
from stillhouse.params.stage import StageParams

RECIPE = {
    "learning_rate": 1e-5,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "global_batch_size": 8,
    "num_train_epochs": 2,
    "max_steps": None,
    "max_length": 64,
    "packing": False,
    "dtype": "float32",
}
OLD = {
    "lr_scheduler_type": "scheduler",
    "global_batch_size": "global_batch",
    "num_train_epochs": "epochs",
}
OLD_RECIPE = {OLD.get(name, name): value for name, value in RECIPE.items()}


def student(recipe: dict[str, object]) -> dict[str, object]:
    return {
        "label": "S",
        "model": "a/b",
        "revision": "0" * 40,
        "license": "mit",
        "chat_template": "t.jinja",
        "recipe": recipe,
    }


def write_files(root: Path, recipe: dict[str, object], runtime: dict[str, object]) -> None:
    (root / "conf/students").mkdir(parents=True)
    # JSON is YAML.
    (root / "conf/students/s.yaml").write_text(json.dumps({"student": student(recipe)}))
    (root / "conf/runtime.yaml").write_text(json.dumps({"students": {"s": runtime}}))


def test_old_names_are_read_with_a_warning_for_each(tmp_path: Path) -> None:
    write_files(tmp_path / "new", RECIPE, {"per_device_train_batch_size": 4})
    write_files(tmp_path / "old", OLD_RECIPE, {"batch_per_device": 4})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = load_student("s", tmp_path / "new")
    with pytest.warns(FutureWarning) as caught:
        old = load_student("s", tmp_path / "old")
    assert old == new
    assert old.runtime.per_device_train_batch_size == 4
    texts = sorted(str(warning.message).partition(";")[0] for warning in caught)
    conf = tmp_path / "old/conf"
    assert texts == [
        f"{conf}/runtime.yaml: students.s: batch_per_device: rename it to per_device_train_batch_size",
        f"{conf}/students/s.yaml: student.recipe.epochs: rename it to num_train_epochs",
        f"{conf}/students/s.yaml: student.recipe.global_batch: rename it to global_batch_size",
        f"{conf}/students/s.yaml: student.recipe.scheduler: rename it to lr_scheduler_type",
    ]


def test_a_stage_reads_old_names_as_well_and_results_have_the_new_ones() -> None:
    stage = StageParams("sft", {"conf/students/s.yaml:student": student(OLD_RECIPE)})
    with pytest.warns(FutureWarning) as caught:
        recipe = stage.student("s").recipe
    assert len(caught) == len(OLD)
    assert all("s.yaml: student: recipe." in str(warning.message) for warning in caught)
    assert recipe.model_dump() == RECIPE


def test_an_old_name_beside_its_new_one_is_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, RECIPE | {"epochs": 3}, {})
    with pytest.raises(ParamsError, match=r"recipe\.epochs: this is the old name of num_train_ep"):
        load_student("s", tmp_path)


def test_a_key_that_is_an_old_name_elsewhere_is_unknown(tmp_path: Path) -> None:
    write_files(tmp_path, RECIPE, {"epochs": 3})
    with pytest.raises(ParamsError, match=r"students\.s: epochs: unknown key"):
        load_student("s", tmp_path)
