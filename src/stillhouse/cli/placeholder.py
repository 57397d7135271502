"""A value of a run's files that only the user can give."""

from pathlib import Path
from typing import NamedTuple


class Placeholder(NamedTuple):
    """A key that only the user can fill in."""

    file: Path
    key: str
    what_to_put: str
