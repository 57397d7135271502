"""Ties a stage's process to the `dvc` that started it.

DVC starts a stage by a shell and, when SIGTERM or SIGKILL ends DVC itself, leaves the stage running as an orphan, which
goes on asking models. A stage therefore watches the process of DVC.
"""

import contextlib
import os
import select
import signal
import threading
from pathlib import Path

SHELLS = frozenset({"sh", "dash", "bash", "zsh"})


def end_with_dvc() -> None:
    """Send SIGTERM to this process as soon as the `dvc` that started it has ended.

    Nothing is watched where the process was not started by DVC, or where the kernel has no pidfd (before Linux 5.3).
    """
    dvc = _dvc_above(os.getppid())
    if dvc is None or not hasattr(os, "pidfd_open"):
        return
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(dvc)
        threading.Thread(target=_wait, args=(handle,), name="dvc", daemon=True).start()


def _wait(handle: int) -> None:
    select.select([handle], [], [])  # readable when the process has ended
    os.kill(os.getpid(), signal.SIGTERM)


def _dvc_above(pid: int) -> int | None:
    """Return the process id of the DVC that is `pid` or the parent of the shell `pid`; None: there is none."""
    while pid > 1:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        if any(Path(os.fsdecode(word)).name == "dvc" for word in words[:3]):
            return pid
        if name not in SHELLS:
            return None
        pid = int(stat.rpartition(")")[2].split()[1])
    return None
