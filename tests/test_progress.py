import io
import sys

import pytest

from stillhouse import progress as progress_module
from stillhouse.progress import Figures, Progress


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
        assert capsys.readouterr().err == ""
        clock.now += 15
        progress.advance("a 2")
        assert capsys.readouterr().err == "generate: 2/4 in 15 s  a 2\n"
        clock.now += 14
        progress.advance("a 3")
        assert capsys.readouterr().err == ""
        progress.advance("a 4")
        assert capsys.readouterr().err == "generate: 4/4 in 29 s  a 4\n"


def terminal_double(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Put a double of a terminal in the place of stderr. Inside a test: pytest puts its own there before each."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "120")
    opened = Terminal()
    monkeypatch.setattr(sys, "stderr", opened)
    return opened


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    terminal = terminal_double(monkeypatch)
    with Progress("verify", 2) as progress:
        progress.advance("pass 1")
        progress.advance("pass 2")
    assert "verify" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    assert "pass 2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_figures_and_their_table(monkeypatch: pytest.MonkeyPatch):
    terminal = terminal_double(monkeypatch)
    table = [("category", "walked"), ("math", "17"), ("code", "4")]
    with Progress("generate", 21, lambda: Figures("accepted 81%", table)):
        pass
    shown = terminal.getvalue().splitlines()
    assert any("accepted 81%" in line for line in shown)
    assert any(line.split() == ["math", "17"] for line in shown)
    assert any("category" in line and "walked" in line for line in shown)  # in bold


def test_plain_lines_show_the_line_of_the_figures(clock: Clock, capsys: pytest.CaptureFixture[str]):
    with Progress("generate", 1, lambda: Figures("accepted 81%", [("a", "b")])) as progress:
        progress.advance()
    assert capsys.readouterr().err == "generate: 1/1 in 0 s  accepted 81%\n"


def test_an_error_inside_passes_through():
    with pytest.raises(ValueError, match="inside"), Progress("verify", 2):
        raise ValueError("inside")
