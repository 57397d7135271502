"""Each performance measurement but that of vLLM runs to its end at a small size, where its figures mean nothing."""

import importlib
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "perf"

# Name: arguments of the command line, and the module's constants that are made small.
SMALL: dict[str, tuple[list[str], dict[str, Any]]] = {
    "chunk_dedup": (["--rows", "300"], {}),
    "dedup": (["--queries", "600"], {}),
    "endpoint": ([], {"RATE_QUERIES": 200, "FEW": 100, "MANY": 200}),
    "journal_hits": ([], {"ANSWERS": 1000, "ASKED": 200}),
    "loop_memory": ([], {"COUNTS": (50, 100)}),
    "ngrams": (["--rows", "400"], {}),
    "package": (["--rows", "300"], {}),
    "verdict_store": (["--answers", "40"], {"ROUNDS": 1}),
    "verify_code": (["--answers", "4"], {"ROUNDS": 1}),
    "verify_hang": (["--answers", "100"], {"ROUNDS": 1}),
    "verify_math": (["--answers", "20"], {"ROUNDS": 1}),
    "verify_memory": (["--answers", "40"], {"FEW": 20}),
    "verify_under_load": (["--answers", "6"], {"BUSY": 1}),
}
FAST = {"chunk_dedup", "dedup", "verify_math"}  # the others take seconds to start what they measure
NOT_HERE = {"vllm_loop"}  # loads vLLM four times: seven minutes even with 40 queries
NEEDS_SANDBOX = {"verify_code", "verify_under_load"}


def test_a_new_measurement_is_missed_here() -> None:
    assert SMALL.keys() | NOT_HERE == {path.stem for path in FOLDER.glob("[a-z]*.py")}


@pytest.mark.parametrize(
    "name",
    [
        name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(SMALL)
    ],
)
def test_it_runs_and_writes_what_its_recorded_result_has(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if name in NEEDS_SANDBOX:
        request.getfixturevalue("sandboxed")
    monkeypatch.syspath_prepend(str(FOLDER))
    arguments, constants = SMALL[name]
    module = importlib.import_module(name)
    monkeypatch.setattr(importlib.import_module("_result"), "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    for constant, small in constants.items():
        monkeypatch.setattr(module, constant, small)

    module.main()

    made = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    recorded = json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert recorded.keys() <= made.keys()
    assert (made["name"], made["goal"]) == (name, recorded["goal"])


def tick(name: str, start: Callable[[], None]) -> tuple[str, int, float]:
    """Sleep 60 times for a hundredth of a second; return the process, and the longest time between two ticks."""
    start()
    ticks = [time.monotonic()]
    for _ in range(60):
        time.sleep(0.01)
        ticks.append(time.monotonic())
    return name, os.getpid(), max(b - a for a, b in itertools.pairwise(ticks))


def die(start: Callable[[], None]) -> None:
    """Die in a turn."""
    start()
    os._exit(1)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_of_runs_in_turns_only_one_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    turns = importlib.import_module("_turns")
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.2)
    began = time.monotonic()

    runs = turns.in_turns(partial(tick, "a"), partial(tick, "b"))

    assert [name for name, _, _ in (run.result for run in runs)] == ["a", "b"]
    assert all(longest >= 0.2 for _, _, longest in (run.result for run in runs))
    assert all(run.seconds >= 0.5 for run in runs)  # a sleep goes on while its process is stopped
    assert sum(run.seconds for run in runs) < time.monotonic() - began
    assert not any(is_alive(pid) for _, pid, _ in (run.result for run in runs))


def test_a_run_that_dies_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    turns = importlib.import_module("_turns")
    with pytest.raises(EOFError):
        turns.in_turns(partial(tick, "a"), die)
    assert not multiprocessing.active_children()
