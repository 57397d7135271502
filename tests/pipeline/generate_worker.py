"""Runs the generate stage's own function in this folder, with tracked parameters from tracked.json.

What DVC would do around it costs seconds at each start, and is tested in test_micro_run.py.
"""

import asyncio
import json
from pathlib import Path

from stages.generate import generate
from stillhouse.journal.journal import Journal
from stillhouse.params.stage import StageParams
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    params = StageParams("generate@alpha", json.loads(Path("tracked.json").read_text()))
    with Journal.open() as journal:
        asyncio.run(generate("alpha", params, journal))


if __name__ == "__main__":
    main()
