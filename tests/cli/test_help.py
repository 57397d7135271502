import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.errors import StillhouseError

COMMANDS = [
    [],
    ["doctor"],
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
    ["pull"],
    ["release"],
    ["release", "diff"],
    ["release", "export-paper"],
    ["release", "lint"],
    ["release", "preview"],
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
    def walk(command: click.Command, path: tuple[str, ...]) -> list[list[str]]:
        found = [list(path)]
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                found += walk(child, (*path, name))
        return found

    assert sorted(walk(main, ())) == sorted(COMMANDS)


def test_every_short_help_fits_its_line() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2]
    assert "doctor" in listed
    assert "..." not in listed


def test_an_expected_error_is_its_message_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StillhouseError("file.yaml: key: found 1, 2 would be right")

    monkeypatch.setattr("stillhouse.cli.check.survey", fails)
    result = CliRunner().invoke(main, ["params", "check"])
    assert result.exit_code == 2
    assert result.stderr == "file.yaml: key: found 1, 2 would be right\n"
    assert result.stdout == ""


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("stillhouse.cli.check.survey", fails)
    result = CliRunner().invoke(main, ["params", "check"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["distil"])
    assert result.exit_code == 2
    assert "No such command 'distil'" in result.stderr
