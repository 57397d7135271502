"""Starts lighteval's own command line, inside lighteval's environment.

Two things stand between it and a machine without a network. One of lighteval's built-in tasks downloads a pickle when
it is imported, and all built-in tasks are imported at every start: that task is left out unless its file is there.
And the tasks of ours import a few modules of this package, which is not installed in that environment: the name is
bound to this folder alone, so that nothing else of our environment becomes visible.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def _bind_package() -> None:
    package = types.ModuleType("stillhouse")
    package.__path__ = [str(PACKAGE)]
    sys.modules["stillhouse"] = package


def _leave_out_download() -> None:
    found = importlib.util.find_spec("lighteval")
    if found is None or found.origin is None:
        sys.exit("lighteval is not installed in this environment; run `make env`")
    built_in = Path(found.origin).parent / "tasks" / "tasks"
    if not (built_in / "tinyBenchmarks.pkl").is_file():
        name = "lighteval.tasks.tasks.tiny_benchmarks"
        sys.modules[name] = types.ModuleType(name)


def main() -> None:
    """Run `lighteval` with this process's arguments; or, with `--write-items FILE`, write the items of its tasks."""
    _bind_package()
    _leave_out_download()
    if sys.argv[1] == "--write-items":
        from stillhouse.benchmark.lighteval_items import write

        write(Path(sys.argv[2]))
        return
    from lighteval.__main__ import app

    code = 0
    try:
        app()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    # All files are closed; taking hundreds of imported modules apart would cost seven seconds.
    os._exit(code)


if __name__ == "__main__":
    main()
