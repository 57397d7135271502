"""A filter rule: drop a response in which too many lines occur twice.

In params.yaml:

    plugins: [examples.repeated_lines]
    filter:
      rules:
        - repeated_lines: {max_share: 0.2}
"""

from collections import Counter

from stillhouse.plugins import filter_rule
from stillhouse.tables.attempts import Attempt


@filter_rule("repeated_lines")
def repeated_lines(attempt: Attempt, max_share: float = 0.3, min_lines: int = 5) -> str | None:
    """Return a reason where more than `max_share` of the lines repeat an earlier one; short responses are kept."""
    text = f"{attempt.response.think}\n{attempt.response.answer}"
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    total = counts.total()
    if total < min_lines:
        return None
    share = (total - len(counts)) / total
    return "repeated_lines" if share > max_share else None
