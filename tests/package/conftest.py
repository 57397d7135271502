import shutil
from pathlib import Path

import pytest

from stillhouse.package.write import write_release
from tests.package.release_fixture import CARDS, facts, write_tables


@pytest.fixture(scope="session")
def made_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole release without a fault, one folder per repository; not to be changed."""
    root = tmp_path_factory.mktemp("run")
    write_release(root / "release", write_tables(root), facts(), CARDS)
    return root / "release"


@pytest.fixture
def release(made_release: Path, tmp_path: Path) -> Path:
    """A copy of the repository folder of the teacher `tiny`, to be spoilt."""
    folder = tmp_path / "release" / "tiny"
    shutil.copytree(made_release / "tiny", folder)
    return folder


@pytest.fixture
def no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the loading of each configuration by `datasets`, seconds for each release that a test makes."""
    monkeypatch.setattr("stillhouse.package.lint._loads", lambda _: iter(()))
