"""Runs every stage that has to run as soon as what it waits for is done, several at the same time.

Each is `dvc --wait-for-lock repro --single-item STAGE`: DVC holds its lock while it hashes and releases it while the
stage's command runs. Paths that overlap would make DVC fail at once, without waiting; so a stage starts only after all
that write below the folders that it reads. A plain `dvc repro` at the end settles the project.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from stillhouse.errors import StillhouseError
from stillhouse.parallel.pipeline import Pipeline
from stillhouse.parallel.slots import Slots, environment, gpus_of
from stillhouse.parallel.view import StageView

END_SECONDS = (
    60.0  # for a stage to end by itself after Ctrl-C, as it does within a request or a batch
)
_LINE_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


class StageFailedError(StillhouseError):
    """One or more stages failed; their messages were printed."""


def dvc_command(*arguments: str) -> list[str]:
    """Return the command that runs the DVC of this environment."""
    return [sys.executable, "-m", "dvc", *arguments]


def dvc_environment() -> dict[str, str]:
    """Return this environment with this Python first on the path, as the commands of the stages find it."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return {**os.environ, "PATH": path}


async def run_side_by_side(pipeline: Pipeline, slots: Slots, view: StageView) -> None:
    """Run all stages that have to run.

    When one fails, no other is started, and those that run are waited for.

    Raises:
        StageFailedError: a stage failed.
    """
    waiting = list(pipeline.names)
    done: set[str] = set()
    changed: set[str] = set()
    failed: list[str] = []
    free = list(slots.gpus)
    running: dict[asyncio.Task[int], tuple[str, list[str], int]] = {}
    try:
        while True:
            used = sum(width for _, _, width in running.values())
            for stage in list(waiting):
                if failed or not done.issuperset(pipeline.waits_for(stage)):
                    continue
                if stage not in changed and not await asyncio.to_thread(pipeline.has_to_run, stage):
                    waiting.remove(stage)
                    done.add(stage)
                    continue
                changed.add(stage)
                gpus = gpus_of(stage, len(slots.gpus)) if slots.gpus else 0
                width = max(1, gpus)
                if (used and used + width > slots.jobs) or gpus > len(free):
                    continue
                given = [free.pop(0) for _ in range(gpus)]
                task = asyncio.create_task(_run_stage(stage, environment(slots, given), view))
                running[task] = (stage, given, width)
                waiting.remove(stage)
                used += width
            if not running:
                break
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                stage, given, _ = running.pop(task)
                free.extend(given)
                (done.add if task.result() == 0 else failed.append)(stage)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failed:
        raise StageFailedError(
            f"{', '.join(failed)} failed: the messages are above. Fix what they name and run the command again; "
            "what is done is not run again"
        )


async def _run_stage(stage: str, variables: dict[str, str], view: StageView) -> int:
    """Run one stage and return its exit code; a cancelled stage is interrupted and waited for."""
    process = await asyncio.create_subprocess_exec(
        *dvc_command("--wait-for-lock", "repro", "--quiet", "--single-item", stage),
        env=dvc_environment() | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LINE_BYTES,
        process_group=0,  # Ctrl-C reaches this process alone, which then interrupts each stage once
        preexec_fn=_prepare,
    )
    view.started(stage)
    try:
        await _show_lines(process, stage, view)
        code = await process.wait()
    except asyncio.CancelledError:
        await _interrupt(process, stage, view)
        raise
    view.ended(stage, code)
    return code


async def _show_lines(process: asyncio.subprocess.Process, stage: str, view: StageView) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            line = end.partial
        except asyncio.LimitOverrunError as long:
            line = await process.stdout.readexactly(long.consumed)
        if not line:
            return
        # A progress bar rewrites its line: what is left of it is the last state.
        if text := line.decode(errors="replace").rstrip("\r\n").rsplit("\r", 1)[-1].strip():
            view.line(stage, text)


async def _interrupt(process: asyncio.subprocess.Process, stage: str, view: StageView) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        shown = asyncio.create_task(_show_lines(process, stage, view))
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                await shown
        except TimeoutError:
            continue
        finally:
            shown.cancel()
        return


def _prepare() -> None:
    """Let the kernel end this DVC when the process that started it is killed; a stage ends with its DVC.

    A shell that starts us in the background has SIGINT ignored, which a stage's command would inherit.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def settle(arguments: Sequence[str] = ()) -> int:
    """Run plain `dvc repro` in the foreground, and return its exit code."""
    return os.spawnvpe(
        os.P_WAIT, sys.executable, dvc_command("repro", *arguments), dvc_environment()
    )
