from click.shell_completion import BashComplete

from stillhouse.cli import main
from tools.commands_reference import PAGE, page


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/commands_reference.py"


def test_commands_and_options_are_completed() -> None:
    shell = BashComplete(main, {}, "stillhouse", "_STILLHOUSE_COMPLETE")
    assert [item.value for item in shell.get_completions([], "gr")] == ["grade"]
    found = [item.value for item in shell.get_completions(["grade"], "--")]
    assert {"--out", "--judge", "--json"} <= set(found)
    assert "_STILLHOUSE_COMPLETE=bash_complete" in shell.source()
    assert "_STILLHOUSE_COMPLETE=bash_source" in page()
