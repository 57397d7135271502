"""The measured error of the verifiers, on answers whose right verdicts are known."""

import asyncio
import os

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.progress import Progress
from stillhouse.stage import stage_command
from stillhouse.verify.audit import GOLDEN, load_cases, run_cases, summary


@stage_command
def main() -> None:
    """Write metrics/audit.json: cases and errors by verifier."""
    with Progress("audit", len(load_cases(GOLDEN))) as progress:
        outcomes = asyncio.run(run_cases(GOLDEN, os.cpu_count() or 1, progress.advance))
    write_json(layout.metrics("audit"), summary(outcomes))


if __name__ == "__main__":
    main()
