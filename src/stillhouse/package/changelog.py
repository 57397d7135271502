"""The changelog of the released data sets, which their cards show: dataset_cards/changelog.md."""

import re
from pathlib import Path

FOLDER = Path("dataset_cards")
CHANGELOG = FOLDER / "changelog.md"
HEADING = "## Changelog"


def names(changelog: str, version: str) -> bool:
    """Return whether a changelog has an entry of a version."""
    return re.search(rf"(?<![\d.]){re.escape(version)}(?!\.?\d)", changelog) is not None
