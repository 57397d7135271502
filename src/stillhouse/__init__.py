"""stillhouse: one query set, N teachers, N parallel verified data sets, and which of them to train on."""

import os
import sys
from types import TracebackType


def _quiet_interrupt(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print one line for Ctrl-C while a stage still imports its libraries, and the traceback of any other error."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted before the stage began", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


if "DVC_STAGE" in os.environ:  # only in processes of the pipeline, whose first import this is
    sys.excepthook = _quiet_interrupt
