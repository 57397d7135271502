"""Turns of the vLLM models of one process: one loads or steps at a time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MULTIPROCESSING = "VLLM_ENABLE_V1_MULTIPROCESSING"


class Turns:
    """Lets the cores of this process load and step one at a time, in the order in which they ask.

    vLLM keeps the context of a forward pass in variables of its modules. Two models that step at once in two threads
    end the process ("corrupted double-linked list"). Where vLLM runs a model in processes of its own, all may step.
    """

    def __init__(self) -> None:
        # Without it, the core that has just stepped would take most turns.
        self._asking = threading.Lock()
        self._stepping = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether a core waits for its turn."""
        return self._asking.locked()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and hold it."""
        if os.environ.get(MULTIPROCESSING) == "1":
            yield
            return
        with self._asking:
            self._stepping.acquire()
        try:
            yield
        finally:
            self._stepping.release()
