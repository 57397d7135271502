import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.journal.journal import FOLDER_VARIABLE, Journal, journal_key
from tests.cli.json_output import document


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
    assert first.startswith(f"{tmp_path}: 4 answers in 1 file")
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


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["journal", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_answers_go_from_one_journal_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        with Journal.open(tmp_path / name) as journal:
            for number in range(2):
                asyncio.run(
                    journal.put(
                        journal_key({"n": number + (name == "two")}),
                        f"answer {number}".encode(),
                        purpose="teacher",
                        model="smol",
                    )
                )
    file = str(tmp_path / "answers.jsonl")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "one"))
    assert "2 answers exported" in run("export", file)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "two"))
    assert "1 answers added, 1 were already there" in run("import", file)
    assert "3 answers, ok" in run("verify")
    assert "1 file of" in run("compact")
    (tmp_path / "answers.jsonl").write_text("rubbish")
    assert "line 1" in run("import", file, code=2)


def test_verify_ends_with_an_error_where_something_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "answers.sqlite").write_bytes(b"rubbish" * 1000)
    output = run("verify", code=2)
    assert "DAMAGED" in output
    assert "journal compact" in output


def test_verdicts_are_dropped_by_verifier_or_all_and_answers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    rows = [
        ("teacher", "math_rule"),  # a teacher of an odd name
        ("verdict", "math_rule"),
        ("verdict", "math_rule+judge_math"),
        ("verdict", "ifeval"),
    ]
    with Journal.open(tmp_path) as journal:
        for purpose, model in rows:
            key = journal_key({"row": [purpose, model]})
            asyncio.run(journal.put(key, b"x", purpose=purpose, model=model))
    assert "--verdicts" in run("drop", code=2)
    assert "0 verdicts removed, 4 rows kept" in run("drop", "--verdicts", "--verifier", "rule")
    assert document("journal", "drop", "--verdicts", "--verifier", "rule")["dropped"] == {}
    output = run("drop", "--verdicts", "--verifier", "judge_math")
    assert "math_rule+judge_math             1 verdicts" in output
    assert "1 verdicts removed, 3 rows kept" in output
    assert "2 verdicts removed, 1 rows kept" in run("drop", "--verdicts")
    with Journal.open(tmp_path) as journal:
        assert [group["purpose"] for group in journal.stats()["groups"]] == ["teacher"]


def test_pull_passes_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pull_double(repo: str, revision: str, target: Path, *, repo_type: str) -> Path:
        asked.append((repo, revision, target, repo_type))
        return target

    monkeypatch.setattr("stillhouse.hub.pull.pull", pull_double)
    result = CliRunner().invoke(main, ["pull", "me/set", "--revision", "v1.0.0", "--to", "here"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("here: me/set at v1.0.0")
    command = ("pull", "me/student", "--revision", "v1.0.0", "--to", "here", "--model")
    assert document(*command)["folder"] == "here"
    assert asked == [
        ("me/set", "v1.0.0", Path("here"), "dataset"),
        ("me/student", "v1.0.0", Path("here"), "model"),
    ]


def test_pull_into_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["pull", "me/set", "--revision", "v1", "--to", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{tmp_path}: exists already")


def test_the_documents_of_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with Journal.open(tmp_path) as journal:
        asyncio.run(journal.put(journal_key({}), b"5", purpose="judge", model="wise"))
    found = document("journal", "stats")
    assert (found["answers"], found["groups"][0]["model"]) == (1, "wise")
    exported = str(tmp_path / "answers.jsonl")
    run("export", exported)
    found = document("journal", "import", exported)
    assert found["files"] == [{"file": exported, "added": 0, "already_there": 1}]
    found = document("journal", "verify")
    assert (found["files"][0]["answers"], found["damaged_files"]) == (1, 0)
    found = document("journal", "compact")
    assert (found["answers"], found["damaged"]) == (1, 0)
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(file.read_bytes()[:100])
    assert document("journal", "verify", exit_code=2)["damaged_files"] == 1
