"""The composition of a data set: shares of rows and tokens by category and teacher (paper figure 2).

In the parallel set the share of rows is the same for every teacher; the share of tokens differs.
"""

from collections.abc import Mapping
from typing import Any

from stillhouse.analysis.statistics import DIGITS, Columns
from stillhouse.records import CATEGORIES


def mixture_rows(lengths: Mapping[str, Columns]) -> list[dict[str, Any]]:
    """Return one row per teacher and category that has rows.

    Args:
        lengths: columns category and completion_tokens by teacher.

    Returns:
        Rows of teacher, category, rows, row_share, tokens, token_share (null without any token).
    """
    found = []
    for teacher, columns in lengths.items():
        all_rows = len(columns["category"])
        all_tokens = int(columns["completion_tokens"].sum())
        for category in CATEGORIES:
            chosen = columns["category"] == category
            rows = int(chosen.sum())
            if rows == 0:
                continue
            tokens = int(columns["completion_tokens"][chosen].sum())
            found.append(
                {
                    "teacher": teacher,
                    "category": category,
                    "rows": rows,
                    "row_share": round(rows / all_rows, DIGITS),
                    "tokens": tokens,
                    "token_share": round(tokens / all_tokens, DIGITS) if all_tokens else None,
                }
            )
    return found
