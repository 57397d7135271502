"""What every stage script shares: how errors end, how metrics are written, how progress is reported."""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from stillhouse.code_hash.record import refuse_stale_stage
from stillhouse.dvc_process import end_with_dvc
from stillhouse.errors import StillhouseError

VLLM_THREAD = "vllm"  # the name that models/vllm_engine.py gives its thread
USER_ERROR = 2  # exit code of an error that the user can fix


def stage_command(function: Callable[..., None]) -> click.Command:
    """Make a click command of a stage's main function.

    It refuses to run code that stage `code` has not recorded. An expected error ends it with one message and exit code
    2; any other exception is a defect of ours and keeps its traceback. SIGINT and SIGTERM let it clean up, and end it
    with exit code 130 or 143; so does the end of the DVC that started it.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        ended_by = signal.SIGINT

        def terminate(*_: object) -> None:
            nonlocal ended_by
            ended_by = signal.SIGTERM
            signal.raise_signal(signal.SIGINT)  # which asyncio turns into a cancelled task

        # A shell that starts us in the background has SIGINT ignored, and SIGTERM comes by way of it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, terminate)
        end_with_dvc()
        # `python -m pdb` runs a script without it, and multiprocessing reads it when a worker starts.
        vars(sys.modules["__main__"]).setdefault("__spec__", None)
        try:
            refuse_stale_stage()
            function(*args, **kwargs)
        except StillhouseError as error:
            stage = os.environ.get("DVC_STAGE", Path(sys.argv[0]).stem)
            click.echo(f"{stage}: {error}", err=True)
            _leave(USER_ERROR)
        except KeyboardInterrupt:
            click.echo(
                "interrupted; every answer so far is in the journal, run the same command to go on",
                err=True,
            )
            _leave(128 + ended_by)

    return click.command()(run)


def _leave(code: int) -> NoReturn:
    """End this process with an exit code, also where vLLM's thread is still inside a step.

    It cannot be ended, and the interpreter's usual way out would abort under it ("terminate called") with another code.
    Everything that has to be closed is closed by now.
    """
    if any(thread.name == VLLM_THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
