import pytest

from stillhouse.params.base import ParamsError
from stillhouse.params.run import Run
from stillhouse.params.stage import StageParams, load_stage
from tests.params.faults import TEACHER


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


def test_a_stage_script_refuses_to_run_outside_the_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    with pytest.raises(ParamsError, match="runs inside the pipeline"):
        load_stage()
