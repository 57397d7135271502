from pathlib import Path

import pytest
from release_fixture import TEMPLATE, facts, write_tables

from stillhouse.release.package import write_release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release folder without a fault."""
    folder = tmp_path / "release" / "tiny"
    write_release(folder, write_tables(tmp_path), facts(), TEMPLATE)
    return folder
