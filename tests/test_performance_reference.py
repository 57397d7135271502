"""The page docs/reference/performance.md shows what the recorded results contain."""

from tools.performance_reference import PAGE, page


def test_the_page_is_what_the_results_say() -> None:
    text = page()
    assert PAGE.read_text(encoding="utf-8") == text, "run: python tools/performance_reference.py"
    assert "## verify_math" in text
    assert "**ratio**" in text
