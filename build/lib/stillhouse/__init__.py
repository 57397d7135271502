"""stillhouse: one query set, N teachers, N parallel verified data sets, and which of them to train on."""

import os
import sys
from types import TracebackType
from typing import Any

__all__ = ["__version__", "grade", "read_release"]
__version__: str


def __getattr__(name: str) -> Any:
    """Return what the library offers, loaded when it is first used: `import stillhouse` alone must be fast."""
    if name == "__version__":
        from importlib.metadata import version

        return version("stillhouse")
    if name in __all__:
        from stillhouse import api

        return getattr(api, name)
    raise AttributeError(f"module 'stillhouse' has no attribute {name!r}")


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
