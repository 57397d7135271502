import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.errors import StillhouseError

COMMANDS = [
    [],
    ["check"],
    ["doctor"],
    ["grade"],
    ["init"],
    ["journal"],
    ["journal", "compact"],
    ["journal", "drop"],
    ["journal", "export"],
    ["journal", "import"],
    ["journal", "stats"],
    ["journal", "verify"],
    ["params"],
    ["params", "check"],
    ["plan"],
    ["publish"],
    ["pull"],
    ["queries"],
    ["queries", "pin"],
    ["queries", "preview"],
    ["release"],
    ["release", "diff"],
    ["release", "export-paper"],
    ["release", "lint"],
    ["release", "preview"],
    ["repro"],
    ["serve"],
    ["show"],
    ["verify"],
    ["verify", "audit"],
    ["verify", "check"],
]
HEAVY = [
    "torch",
    "vllm",
    "dvc",
    "pyarrow",
    "datasets",
    "pydantic",
    "transformers",
    "rich",
    "msgspec",
]
PROBE = """
import sys
from stillhouse.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "stillhouse")
def test_help_loads_no_heavy_library(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, loaded = done.stdout.partition("LOADED ")
    assert "Usage:" in text
    assert set(loaded.split()).isdisjoint(HEAVY)


def test_the_commands_are_those_documented() -> None:
    assert sorted(path for path, _ in all_commands()) == sorted(COMMANDS)


def all_commands() -> list[tuple[list[str], click.Command]]:
    def below(command: click.Command, path: list[str]) -> list[tuple[list[str], click.Command]]:
        found = [(path, command)]
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                found += below(child, [*path, name])
        return found

    return below(main, [])


def test_every_command_that_prints_facts_has_json() -> None:
    actions = (
        ["init"],
        ["publish"],
        ["repro"],
        ["serve"],
        ["journal", "export"],
    )  # their output is no document
    for path, command in all_commands():
        has_json = any(option.name == "json" for option in command.params)
        assert has_json != (isinstance(command, click.Group) or path in actions), path


def test_the_former_names_are_the_same_commands() -> None:
    commands = {" ".join(path): command for path, command in all_commands()}
    assert commands["verify check"] is commands["grade"]
    assert commands["params check"] is commands["check"]


def variables() -> set[str]:
    return {
        "_".join(("stillhouse", *path, option.name or "")).replace("-", "_").upper()
        for path, command in all_commands()
        for option in command.params
        if isinstance(option, click.Option)
    }


def test_no_variable_of_an_option_has_another_meaning() -> None:
    used = {
        name
        for folder in ("src", "stages")
        for file in Path(folder).rglob("*.py")
        for name in re.findall(r"(?<!_)STILLHOUSE_[A-Z_]+", file.read_text(encoding="utf-8"))
    }
    assert {"STILLHOUSE_JOURNAL", "STILLHOUSE_CACHE"} <= used
    assert "STILLHOUSE_CHECK_PROFILE" in variables()
    # The comment on STILLHOUSE_VERSION says why main has no variable for --version.
    assert (used - {"STILLHOUSE_VERSION"}).isdisjoint(variables())


def test_an_option_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_CHECK_PROFILE", "huge")
    monkeypatch.setenv("STILLHOUSE_VERSION", "1.0")  # as an image may set it
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert "profiles/huge: no such profile" in result.stderr


@pytest.mark.parametrize(
    "command", [["check"], ["plan"], ["publish"], ["release", "preview"], ["show", "abcd"]]
)
def test_outside_a_project_the_error_has_where_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}: no params.yaml here; run inside the project folder\n"
    assert list(tmp_path.iterdir()) == []  # no journal either


def test_every_short_help_fits_its_line() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2]
    assert "doctor" in listed
    assert "..." not in listed


def test_an_expected_error_is_its_message_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StillhouseError("file.yaml: key: found 1, 2 would be right")

    monkeypatch.setattr("stillhouse.cli.check.survey", fails)
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 2
    assert result.stderr == "file.yaml: key: found 1, 2 would be right\n"
    assert result.stdout == ""


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("stillhouse.cli.check.survey", fails)
    result = CliRunner().invoke(main, ["check"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["distil"])
    assert result.exit_code == 2
    assert "No such command 'distil'" in result.stderr
