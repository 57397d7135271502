import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from stillhouse import stage
from stillhouse.errors import StillhouseError
from stillhouse.files import read_json, write_json
from stillhouse.stage import stage_command


def command(failure: BaseException | None) -> click.Command:
    @stage_command
    @click.argument("teacher")
    def main(teacher: str) -> None:
        """Do what the stage does."""
        if failure is not None:
            raise failure
        click.echo(f"done with {teacher}")

    return main


def test_a_stage_takes_its_arguments_and_keeps_its_help():
    result = CliRunner().invoke(command(None), ["smollm2"])
    assert (result.exit_code, result.stdout) == (0, "done with smollm2\n")
    assert "Do what the stage does." in CliRunner().invoke(command(None), ["--help"]).stdout


def test_an_expected_error_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_STAGE", "verify@smollm2")
    result = CliRunner().invoke(command(StillhouseError("file x: fix it")), ["smollm2"])
    assert result.exit_code == 2
    assert result.stderr == "verify@smollm2: file x: fix it\n"
    assert result.stdout == ""


def test_outside_dvc_the_script_names_the_stage(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr("sys.argv", ["stages/verify.py", "smollm2"])
    result = CliRunner().invoke(command(StillhouseError("fix it")), ["smollm2"])
    assert result.stderr == "verify: fix it\n"


def test_a_defect_keeps_its_traceback():
    failure = KeyError("ours")
    result = CliRunner().invoke(command(failure), ["smollm2"])
    assert result.exception is failure


def test_an_interrupt_says_how_to_go_on():
    result = CliRunner().invoke(command(KeyboardInterrupt()), ["smollm2"])
    assert result.exit_code == 130
    assert "run the same command to go on" in result.stderr


IN_A_STEP = """
import sys, threading
import torch
from stillhouse.stage import stage_command
ones, stepping = torch.ones(600, 600), threading.Event()
def step():
    while True:
        torch.mm(ones, ones)
        stepping.set()
@stage_command
def main():
    threading.Thread(target=step, name="vllm", daemon=True).start()
    stepping.wait()
    raise KeyboardInterrupt
main()
"""


@pytest.mark.usefixtures("full_environment")
def test_an_interrupt_ends_with_its_code_while_a_model_is_in_a_step():
    done = subprocess.run(
        [sys.executable, "-c", IN_A_STEP], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == (
        "interrupted; every answer so far is in the journal, run the same command to go on\n"
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(content=JSON)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, content: object):
    path = tmp_path_factory.getbasetemp() / "round.json"
    write_json(path, content)
    assert read_json(path) == content


def test_equal_content_is_equal_bytes_and_nothing_else_is_left(tmp_path: Path):
    path = tmp_path / "metrics" / "verify.json"
    write_json(path, {"b": 1, "a": "é"})
    first = path.read_bytes()
    write_json(path, {"a": "é", "b": 1})
    assert path.read_bytes() == first == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    assert [p.name for p in path.parent.iterdir()] == ["verify.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"new": float("nan")})

    def killed(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(stage.Path, "replace", killed)
    with pytest.raises(OSError, match="no space left"):
        write_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": 1}


@pytest.mark.parametrize("content", [None, b"{broken", b"\xff\xfe\x00"])
def test_a_missing_or_broken_file_is_named_with_the_remedy(tmp_path: Path, content: bytes | None):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StillhouseError, match=r"x\.json.*run the stage that makes it"):
        read_json(path)


def test_a_stage_under_pdb_starts_workers(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "from stillhouse.stage import stage_command\n"
        "@stage_command\n"
        "def main():\n"
        "    context = multiprocessing.get_context('forkserver')\n"
        "    worker = context.Process(target=print, args=('a worker ran',))\n"
        "    worker.start()\n"
        "    worker.join()\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    command = [sys.executable, "-m", "pdb", "-c", "continue", str(script)]
    done = subprocess.run(command, input="quit\n", capture_output=True, text=True, check=False)
    assert "a worker ran" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
