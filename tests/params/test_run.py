from pathlib import Path

from stillhouse.params.files import read_yaml
from stillhouse.params.run import RunParams
from tests.params.faults import fault


def test_repeated_ids_are_refused() -> None:
    run = read_yaml(Path("profiles/paper/params.yaml"))
    assert "teacher_ids: these ids occur more than once: deepseek_r1" in fault(
        RunParams, run | {"teacher_ids": ["deepseek_r1", "deepseek_r1"]}
    )
