import io
import sys

import pytest

from stillhouse import progress as progress_module
from stillhouse.progress import Progress


class Clock:
    """A double of the `time` module that stands still until it is told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_plain_lines_come_now_and_then_and_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
):
    with Progress("generate", 4) as progress:
        progress.advance("a 1")
        assert capsys.readouterr().out == ""
        clock.now += 15
        progress.advance("a 2")
        assert capsys.readouterr().out == "generate: 2/4 in 15 s  a 2\n"
        clock.now += 14
        progress.advance("a 3")
        assert capsys.readouterr().out == ""
        progress.advance("a 4")
        assert capsys.readouterr().out == "generate: 4/4 in 29 s  a 4\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("verify", 2) as progress:
        progress.advance("pass 1")
        progress.advance("pass 2")
    assert "verify" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    assert "pass 2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_an_error_inside_passes_through():
    with pytest.raises(ValueError, match="inside"), Progress("verify", 2):
        raise ValueError("inside")
