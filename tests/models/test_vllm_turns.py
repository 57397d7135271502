"""How the models of one process take turns, without vLLM."""

import threading
import time

import pytest

from stillhouse.models.vllm_turns import MULTIPROCESSING, Turns

STEPS = 50


def test_one_steps_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MULTIPROCESSING, raising=False)
    turns, inside, most = Turns(), 0, 0

    def core() -> None:
        nonlocal inside, most
        for _ in range(STEPS):
            with turns.take():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=core) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_who_waits_has_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core asks again as soon as it has stepped, and would leave another one waiting for long."""
    monkeypatch.delenv(MULTIPROCESSING, raising=False)
    turns, order = Turns(), []

    def judge() -> None:
        with turns.take():
            order.append("judge")

    waiting = threading.Thread(target=judge)
    with turns.take():
        waiting.start()
        while not turns.asked:
            time.sleep(0.001)
        order.append("teacher")
    with turns.take():
        order.append("teacher")
    waiting.join()
    assert order == ["teacher", "judge", "teacher"]


def test_models_in_processes_of_their_own_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTIPROCESSING, "1")
    turns = Turns()
    with turns.take(), turns.take():
        pass
