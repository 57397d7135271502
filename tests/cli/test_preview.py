"""`stillhouse release preview`, with a double of the Hub's side; tests/hub tests that side."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.hub import readiness
from stillhouse.hub.publish import Preview
from tests.cli.json_output import document

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose git tree is dirty, and a Hub that has none of its repositories."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())

    def dirty_double() -> str:
        raise readiness.NotReadyError("the git tree is dirty")

    def preview_double(folder: Path, repo_id: str, version: str, **_: Any) -> Preview:
        return Preview(repo_id, False, f"v{version}", {"README.md": 2000}, [], 0)

    monkeypatch.setattr(readiness, "clean_commit", dirty_double)
    for name in ("refuse_stale_pipeline", "refuse_missing_in_remote", "refuse_lint_errors"):
        monkeypatch.setattr(readiness, name, lambda *_: None)
    monkeypatch.setattr("stillhouse.hub.publish.preview", preview_double)


@pytest.mark.usefixtures("project")
def test_refusals_and_files_are_printed() -> None:
    done = CliRunner().invoke(main, ["release", "preview"])
    assert done.exit_code == 0, done.output
    first, second, third, *_ = done.stdout.splitlines()
    assert first == "would be refused: the git tree is dirty"
    assert "-worked (new): 1 files to send, 2.0 kB; 0 to delete" in done.stdout
    assert second.endswith("tag v0.1.0")
    assert third == "  + README.md  2.0 kB"


@pytest.mark.usefixtures("project")
def test_the_document_has_the_same_facts() -> None:
    found = document("release", "preview")
    assert found["refusals"] == ["the git tree is dirty"]
    assert len(found["repositories"]) == 4  # three teachers and the parallel set
    assert found["repositories"][0]["add"] == {"README.md": 2000}
