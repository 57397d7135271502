import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stillhouse.parallel.slots import (
    Slots,
    SlotsError,
    environment,
    gpus_of,
    slots_of_machine,
    visible_gpus,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Return what makes this test's folder a project with the profile of a name."""
    monkeypatch.chdir(tmp_path)
    return lambda name: shutil.copytree(ROOT / "profiles" / name, tmp_path, dirs_exist_ok=True)


def test_a_machine_without_a_gpu_runs_one_stage_for_each_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    slots = slots_of_machine(None)
    assert slots.gpus == []
    assert slots.jobs >= 1
    assert slots_of_machine(3).jobs == 3
    assert environment(Slots([], 2), [])["OMP_NUM_THREADS"] == "1"
    assert environment(Slots([], 1), []) == {}


def test_gpus_are_those_that_cuda_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    slots = slots_of_machine(None)
    assert slots.jobs == 2
    assert environment(slots, ["5"]) == {"CUDA_VISIBLE_DEVICES": "5"}
    assert environment(slots, []) == {"CUDA_VISIBLE_DEVICES": ""}


def test_stages_of_endpoints_use_no_gpu_and_a_student_uses_what_its_runtime_says(
    profile: Callable[[str], object],
) -> None:
    profile("paper")
    for stage in ("align", "queries", "generate@deepseek_r1", "verify@deepseek_r1"):
        assert gpus_of(stage, 8) == 0
    assert gpus_of("perplexity@deepseek_r1", 8) == 1
    assert gpus_of("sft@deepseek_r1-qwen2_5_32b", 8) == 8  # accelerate_config: all of them
    assert gpus_of("benchmark@qwen2_5_32b", 8) == 8
    with pytest.raises(SlotsError, match="needs 8 GPUs and 4 can be used"):
        gpus_of("benchmark@qwen2_5_32b", 4)


def test_a_teacher_in_process_gets_its_gpus_and_shares_them_with_the_judge(
    profile: Callable[[str], object],
) -> None:
    profile("single_gpu")
    assert gpus_of("generate@qwen3_8b", 8) == 1
    assert gpus_of("verify@qwen3_8b", 8) == 1
    Path("conf/runtime.yaml").write_text(
        "teachers:\n  qwen3_8b: {tensor_parallel_size: 2, pipeline_parallel_size: 2}\n"
    )
    assert gpus_of("generate@qwen3_8b", 8) == 4
    assert gpus_of("verify@qwen3_8b", 8) == 1
