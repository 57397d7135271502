"""Runs the generate stage's own function in this folder, with tracked parameters from tracked.json.

What DVC would do around it costs seconds at each start, and is tested in test_micro_run.py.
"""

import json
from pathlib import Path

from stages.generate import run
from stillhouse.params.stage import StageParams
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    params = StageParams("generate@alpha", json.loads(Path("tracked.json").read_text()))
    run("alpha", params)


if __name__ == "__main__":
    main()
