"""Files written before a parameter was renamed: read for one version, with a warning that names file and key."""

import json
import warnings
from pathlib import Path

import pytest

from stillhouse.params.base import ParamsError
from stillhouse.params.benchmark import BenchmarkSampling
from stillhouse.params.filter import FilterRuntime, NgramFilter
from stillhouse.params.load import load_student, load_teacher
from stillhouse.params.runtime import filter_runtime
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
        "turn_format": "think_tags",
        "recipe": recipe,
    }


def write_files(root: Path, recipe: dict[str, object], runtime: dict[str, object]) -> None:
    (root / "conf/students").mkdir(parents=True)
    # JSON is YAML.
    (root / "conf/students/s.yaml").write_text(json.dumps({"student": student(recipe)}))
    (root / "conf/runtime.yaml").write_text(json.dumps({"students": {"s": runtime}}))


def test_old_names_are_read_with_a_warning_for_each(tmp_path: Path) -> None:
    new_runtime = {"per_device_train_batch_size": 4, "cpu_kvcache_space": 2}
    write_files(tmp_path / "new", RECIPE, new_runtime)
    write_files(tmp_path / "old", OLD_RECIPE, {"batch_per_device": 4, "cpu_kv_cache_gb": 2.0})
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
        f"{conf}/runtime.yaml: students.s: cpu_kv_cache_gb: rename it to cpu_kvcache_space",
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
    assert recipe.model_dump(exclude_unset=True) == RECIPE


def test_an_old_name_beside_its_new_one_is_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, RECIPE | {"epochs": 3}, {})
    with pytest.raises(ParamsError, match=r"recipe\.epochs: this is the old name of num_train_ep"):
        load_student("s", tmp_path)


def test_a_key_that_is_an_old_name_elsewhere_is_unknown(tmp_path: Path) -> None:
    write_files(tmp_path, RECIPE, {"epochs": 3})
    with pytest.raises(ParamsError, match=r"students\.s: epochs: unknown key"):
        load_student("s", tmp_path)


def test_a_teachers_runtime_has_old_names_in_its_entry_and_in_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "conf/teachers").mkdir(parents=True)
    teacher = {
        "label": "T",
        "engine": "openai",
        "model": "a/b",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 64},
    }
    content = {"teacher": teacher, "perplexity_cut": None}
    (tmp_path / "conf/teachers/t.yaml").write_text(json.dumps(content))
    runtime = {
        "defaults": {"teachers": {"prefix_caching": True, "cpu_kv_cache_gb": 4}},
        "teachers": {"t": {"enable_prefix_caching": False}},
    }
    (tmp_path / "conf/runtime.yaml").write_text(json.dumps(runtime))
    with pytest.warns(FutureWarning) as caught:
        found = load_teacher("t", tmp_path).runtime
    assert (found.enable_prefix_caching, found.cpu_kvcache_space) == (False, 4)
    place = f"{tmp_path}/conf/runtime.yaml: defaults.teachers"
    assert sorted(str(warning.message).partition(";")[0] for warning in caught) == [
        f"{place}: cpu_kv_cache_gb: rename it to cpu_kvcache_space",
        f"{place}: prefix_caching: rename it to enable_prefix_caching",
    ]


def test_the_students_sampling_has_its_old_name_as_well() -> None:
    sampling = {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 64, "system_prompt": None}
    stage = StageParams("benchmark", {"benchmark.sampling": sampling})
    with pytest.warns(FutureWarning, match=r"max_new_tokens: rename it to max_tokens"):
        found = stage.section(BenchmarkSampling, "benchmark.sampling")
    assert found.max_tokens == 64


def test_the_filters_memory_has_its_old_place_as_well_and_no_record_has_it(tmp_path: Path) -> None:
    ngram = {"n": 20, "max_count": 20, "action": "sample"}
    stage = StageParams("filter", {"filter.ngram": ngram | {"memory_mb": 64}})
    with pytest.warns(FutureWarning, match=r"move it to conf/runtime\.yaml \(filter\.ngram_memory"):
        old = stage.section(NgramFilter, "filter.ngram")
    assert filter_runtime(old, tmp_path).ngram_memory_mb == 64
    new = NgramFilter(n=20, max_count=20, action="sample")
    assert old.model_dump() == new.model_dump()
    assert "memory_mb" not in new.model_dump()


def test_the_filters_memory_is_read_from_the_runtime_file(tmp_path: Path) -> None:
    new = NgramFilter(n=20, max_count=20, action="sample")
    assert filter_runtime(new, tmp_path) == FilterRuntime()
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf/runtime.yaml"
    path.write_text(json.dumps({"filter": {"ngram_memory_mb": 64}}))
    assert filter_runtime(new, tmp_path).ngram_memory_mb == 64
    path.write_text(json.dumps({"filter": {"memory": 64}}))
    with pytest.raises(ParamsError, match=r"runtime\.yaml: filter: memory: unknown key"):
        filter_runtime(new, tmp_path)
    path.write_text(json.dumps({"filters": {}}))
    with pytest.raises(ParamsError, match=r"filters: unknown key; allowed here: defaults, filter"):
        filter_runtime(new, tmp_path)
