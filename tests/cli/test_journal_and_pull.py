import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.models.journal import FOLDER_VARIABLE, Journal


def test_stats_count_answers_by_purpose_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))

    async def fill(journal: Journal) -> None:
        for i in range(3):
            await journal.put(bytes([i]), b"answer", purpose="teacher", model="smol")
        await journal.put(b"x", b"5", purpose="judge", model="wise")

    with Journal.open(tmp_path) as journal:
        asyncio.run(fill(journal))
    result = CliRunner().invoke(main, ["journal", "stats"])
    assert result.exit_code == 0, result.output
    first, *groups = result.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/journal.sqlite: 4 answers")
    assert [line.split()[:2] for line in groups] == [["judge", "1"], ["teacher", "3"]]
    assert [line.split()[-1] for line in groups] == ["wise", "smol"]


def test_stats_make_no_journal_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    result = CliRunner().invoke(main, ["journal", "stats"])
    assert result.exit_code == 2
    assert "no journal here yet" in result.stderr
    assert not (tmp_path / "none").exists()


def test_pull_hands_its_arguments_to_the_hub_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pull_double(repo: str, revision: str, target: Path) -> Path:
        asked.append((repo, revision, target))
        return target

    monkeypatch.setattr("stillhouse.release.hub.pull", pull_double)
    result = CliRunner().invoke(main, ["pull", "me/set", "--revision", "v1.0.0", "--to", "here"])
    assert result.exit_code == 0, result.output
    assert asked == [("me/set", "v1.0.0", Path("here"))]
    assert result.stdout.startswith("here: me/set at v1.0.0")


def test_pull_into_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["pull", "me/set", "--revision", "v1", "--to", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{tmp_path}: exists already")
