from pathlib import Path

import pytest

from stillhouse.params.files import read_yaml
from stillhouse.params.run import Controls, RunParams
from tests.params.faults import fault


def test_repeated_ids_are_refused() -> None:
    run = read_yaml(Path("profiles/paper/params.yaml"))
    assert "teacher_ids: these ids occur more than once: deepseek_r1" in fault(
        RunParams, run | {"teacher_ids": ["deepseek_r1", "deepseek_r1"]}
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"compared_ids": ["nobody"]}, "compared_ids: nobody: not in teacher_ids (am_thinking_v1,"),
        ({"compared_ids": ["deepseek_r1"] * 2}, "compared_ids: these ids occur more than once"),
        ({"training_seeds": []}, "training_seeds: List should have at least 1 item"),
        ({"training_seeds": [1, 1]}, "training_seeds: these ids occur more than once: 1"),
        ({"controls": {"shuffled": ["nobody"]}}, "controls.shuffled: nobody: not in compared_ids"),
        ({"controls": {"aliases": []}}, "controls.aliases: unknown key"),
        (
            {"compared_ids": ["deepseek_r1"], "controls": {"alias": ["deepseek_r1"]}},
            "every teacher is an alias",
        ),
        ({"teacher_ids": ["untrained"]}, "'untrained' and ids that end in '_shuffled'"),
        ({"teacher_ids": ["a_shuffled"]}, "'a_shuffled': 'untrained' and ids"),
    ],
)
def test_axes_that_contradict_each_other_are_refused(
    changed: dict[str, object], message: str
) -> None:
    run = read_yaml(Path("profiles/paper/params.yaml"))
    assert message in fault(RunParams, run | changed)


def test_controls_are_trained_and_aliases_not_released() -> None:
    controls = Controls(alias=["b"], shuffled=["a", "b"])
    assert controls.trained(["a", "b", "c"]) == ["a", "b", "c", "a_shuffled", "b_shuffled"]
    assert controls.released(["a", "b", "c"]) == ["a", "c"]
