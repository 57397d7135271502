"""The code of every stage as one hash by meaning, so that a comment or a moved file runs no stage."""

from pathlib import Path

from stillhouse.code_hash.record import record
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write code/<stage>.sha256 for every script in stages/."""
    record(Path())


if __name__ == "__main__":
    main()
