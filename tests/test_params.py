import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stillhouse import params
from stillhouse.params import (
    FileSource,
    HubSource,
    ParamsError,
    Recipe,
    Run,
    RunParams,
    Section,
    StageParams,
    Teacher,
    load_run,
    load_stage,
    load_teacher,
    parse,
    read_yaml,
)

COMMIT = "0" * 40
HUB = {
    "id": "s",
    "kind": "hub",
    "category": "math",
    "license": "mit",
    "repo": "a/b",
    "revision": COMMIT,
}
TEACHER = {
    "label": "T",
    "engine": "vllm",
    "model": "a/b",
    "revision": COMMIT,
    "license": "mit",
    "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8},
}


def fault(section: type[Section], content: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(section, content, "file.yaml")
    return str(caught.value)


def test_an_unknown_key_names_file_key_and_what_is_allowed() -> None:
    message = fault(HubSource, HUB | {"revison": COMMIT})
    assert message.startswith("file.yaml: revison: unknown key")
    assert "allowed here: " in message
    assert "revision" in message


def test_a_missing_key_is_named() -> None:
    assert "file.yaml: learning_rate: missing key" in fault(Recipe, {})


def test_every_fault_has_its_own_line() -> None:
    content = {k: v for k, v in HUB.items() if k != "repo"} | {"category": "cooking"}
    lines = fault(HubSource, content).splitlines()
    assert len(lines) == 2
    assert any("category" in line and "'cooking'" in line and "'math'" in line for line in lines)
    assert any(line == "file.yaml: repo: missing key" for line in lines)


@pytest.mark.parametrize("revision", ["main", "v1.0", "0" * 39, "G" * 40, ""])
def test_a_moving_revision_is_refused(revision: str) -> None:
    assert "commit hash" in fault(HubSource, HUB | {"revision": revision})


@pytest.mark.parametrize("revision", ["a" * 40, "f" * 64, "FILL_IN"])
def test_a_hash_and_the_placeholder_are_accepted(revision: str) -> None:
    assert parse(HubSource, HUB | {"revision": revision}, "f").revision == revision


@pytest.mark.parametrize("bad", ["Big", "a.b", "a/b", "a@b", "1a", "a-b", ""])
def test_an_id_that_breaks_stage_names_is_refused(bad: str) -> None:
    content = {"id": bad, "kind": "file", "category": "math", "license": "mit", "path": "q.jsonl"}
    assert "[a-z][a-z0-9_]*" in fault(FileSource, content)


def test_a_model_engine_needs_sampling_and_a_commit() -> None:
    assert "needs `sampling`" in fault(Teacher, TEACHER | {"sampling": None})
    assert "needs a `revision`" in fault(Teacher, TEACHER | {"revision": "none"})


def test_replay_needs_its_source() -> None:
    assert "needs `replay`" in fault(Teacher, TEACHER | {"engine": "replay", "revision": "none"})


def test_sections_cannot_be_changed() -> None:
    source = parse(HubSource, HUB, "f")
    with pytest.raises(ValueError, match="frozen"):
        source.repo = "c/d"  # type: ignore[misc]


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("a: 1.0e-5\nb: no\nc: on\nd: 010\n")
    assert read_yaml(path) == {"a": 1.0e-5, "b": "no", "c": "on", "d": 10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- a\n", "a mapping of keys was expected at the top level, found list"),
        ("", "a mapping of keys was expected at the top level, found NoneType"),
        ("a: 1\na: 2\n", "not valid YAML"),
    ],
    ids=["broken", "list", "empty", "key twice"],
)
def test_a_malformed_file_is_one_line_with_its_name(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file"):
        load_run(tmp_path)


def test_an_id_without_a_file_lists_the_ids_there_are(tmp_path: Path) -> None:
    (tmp_path / "conf/teachers").mkdir(parents=True)
    (tmp_path / "conf/teachers/warm.yaml").touch()
    with pytest.raises(ParamsError, match="'cold' is used; ids there: warm"):
        load_teacher("cold", tmp_path)


def test_a_stage_cannot_read_what_it_does_not_track() -> None:
    stage = StageParams("filter", {"filter": {"x": 1}, "conf/teachers/t.yaml:teacher": TEACHER})
    assert stage.value("filter") == {"x": 1}
    assert stage.teacher("t").label == "T"
    with pytest.raises(ParamsError, match=r"stage 'filter' reads 'verify' .* does not list it"):
        stage.value("verify")


def test_a_dotted_key_is_read_with_what_is_tracked_around_it_and_no_further() -> None:
    stage = StageParams("sft", {"run.seed": 7, "verify": {"judge": {"model": "wise"}}})
    assert stage.read(int, "run.seed") == 7
    assert stage.read(str, "verify.judge.model") == "wise"
    with pytest.raises(ParamsError, match=r"stage 'sft' reads 'run.name' .* does not list it"):
        stage.value("run.name")
    with pytest.raises(ParamsError, match=r"stage 'sft' reads 'run' .* does not list it"):
        stage.value("run")
    with pytest.raises(ParamsError, match=r"verify\.judge\.math: missing key"):
        stage.value("verify.judge.math")
    with pytest.raises(ParamsError, match=r"verify\.judge\.model: .*valid integer"):
        stage.read(int, "verify.judge.model")


def test_a_section_tracked_by_keys_can_be_read_only_if_all_its_keys_are() -> None:
    whole = StageParams("report", {"run.seed": 7, "run.name": "x"})
    assert whole.section(Run, "run") == Run(name="x", seed=7)
    with pytest.raises(ParamsError, match=r"reads 'run.name' .* does not list it"):
        StageParams("sft", {"run.seed": 7}).section(Run, "run")


def test_what_a_machine_needs_is_read_by_id_over_the_defaults(tmp_path: Path) -> None:
    write_files(tmp_path, {"defaults": {"teachers": {"max_num_seqs": 3}}})
    assert load_teacher("t", tmp_path).runtime.max_num_seqs == 3
    write_files(
        tmp_path,
        {
            "defaults": {"teachers": {"max_num_seqs": 3, "endpoints": ["http://a/v1"]}},
            "teachers": {"t": {"max_num_seqs": 4}, "other": {"max_num_seqs": 5}},
        },
    )
    runtime = load_teacher("t", tmp_path).runtime
    assert (runtime.max_num_seqs, runtime.endpoints) == (4, ["http://a/v1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"teacher": {}}, r"runtime\.yaml: teacher: unknown key; allowed here: defaults"),
        ({"teachers": {"t": 3}}, r"runtime\.yaml: teachers\.t: a mapping of keys was expected"),
        ({"teachers": {"t": {"seats": 3}}}, r"runtime\.yaml: teachers\.t: seats: unknown key"),
    ],
)
def test_a_fault_in_what_a_machine_needs_is_named(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    write_files(tmp_path, content)
    with pytest.raises(ParamsError, match=message):
        load_teacher("t", tmp_path)


def test_a_runtime_section_in_a_teachers_file_is_still_read_with_a_note(tmp_path: Path) -> None:
    write_files(tmp_path, {"teachers": {"t": {"max_num_seqs": 3}}}, runtime={"max_num_seqs": 9})
    with pytest.warns(FutureWarning, match=r"move it to conf/runtime\.yaml \(teachers\.t\)"):
        assert load_teacher("t", tmp_path).runtime.max_num_seqs == 9


def write_files(root: Path, runtimes: dict[str, object], **more: object) -> None:
    (root / "conf/teachers").mkdir(parents=True, exist_ok=True)
    content = {"teacher": TEACHER, "perplexity_cut": None, **more}
    (root / "conf/teachers/t.yaml").write_text(json.dumps(content))  # JSON is YAML
    (root / "conf/runtime.yaml").write_text(json.dumps(runtimes))


def test_a_stage_script_refuses_to_run_outside_the_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    with pytest.raises(ParamsError, match="runs inside the pipeline"):
        load_stage()


def sections_below(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {model}.union(*(sections_below(child) for child in model.__subclasses__()))


def test_no_parameter_has_a_name_that_dvc_ignores() -> None:
    names = {name for section in sections_below(Section) for name in section.model_fields}
    assert "teacher_ids" in names
    assert names.isdisjoint({"size", "nfiles"})


def test_repeated_ids_are_refused() -> None:
    run = read_yaml(Path("profiles/paper/params.yaml"))
    assert "teacher_ids: these ids stand twice: deepseek_r1" in fault(
        RunParams, run | {"teacher_ids": ["deepseek_r1", "deepseek_r1"]}
    )


def test_the_module_offers_the_placeholder_that_profiles_use() -> None:
    assert params.PLACEHOLDER == "FILL_IN"


def test_the_reference_page_is_what_the_models_say() -> None:
    from tools.params_reference import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/params_reference.py"
