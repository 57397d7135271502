"""Runs the generate stage's own function in this folder, with tracked parameters from tracked.json.

What DVC would do around it costs seconds at each start, and is tested in test_micro_run.py. The pauses between tries at
an endpoint are a tenth of the real ones.
"""

import json
from pathlib import Path

from stages.generate import run
from stillhouse.models import endpoints, openai_engine
from stillhouse.params.stage import StageParams
from stillhouse.stage import stage_command

openai_engine.FIRST_WAIT_SECONDS /= 10
openai_engine.LONGEST_WAIT_SECONDS /= 10
endpoints.REST_SECONDS /= 10
endpoints.LONGEST_REST_SECONDS /= 10
endpoints.LONGEST_ERROR_REST_SECONDS /= 10


@stage_command
def main() -> None:
    params = StageParams("generate@alpha", json.loads(Path("tracked.json").read_text()))
    run("alpha", params)


if __name__ == "__main__":
    main()
