"""Lengths of the accepted responses: statistics and histogram by category and teacher (paper figures 3 and 4)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stillhouse.analysis.statistics import Columns, box
from stillhouse.records import CATEGORIES

ALL_CATEGORIES = "all"
BIN_TOKENS = 1024  # paper figure 3: bins of 1,024 tokens, and one for everything above 10,240
BINS = 10


def length_rows(lengths: Mapping[str, Columns]) -> list[dict[str, Any]]:
    """Return one row per teacher and category, `all` first, with the figures of a box plot.

    Args:
        lengths: columns category and completion_tokens by teacher.

    Returns:
        Rows of teacher, category, rows, tokens, mean, p5, p25, p50, p75, p95, max. A category without rows is left out.
    """
    found = []
    for teacher, columns in lengths.items():
        for category in (ALL_CATEGORIES, *CATEGORIES):
            tokens = columns["completion_tokens"]
            if category != ALL_CATEGORIES:
                tokens = tokens[columns["category"] == category]
                if len(tokens) == 0:
                    continue
            found.append(
                {
                    "teacher": teacher,
                    "category": category,
                    "tokens": int(tokens.sum()),
                    **box(tokens),
                }
            )
    return found


def bin_width(longest: int) -> int:
    """Return the width of the histogram's bins in tokens.

    The width is the smallest power of two, at most the paper's 1,024, with which ten bins reach the longest response.
    """
    width = 1
    while width < BIN_TOKENS and width * BINS < longest:
        width *= 2
    return width


def histogram_rows(lengths: Mapping[str, Columns]) -> list[dict[str, Any]]:
    """Return the number of responses in each bin of tokens, over all categories.

    All teachers have the same bins. A bin counts lengths above `above`, up to the `above` of the next bin. The last bin
    is open if responses are longer than ten bins of 1,024.

    Args:
        lengths: as in `length_rows`.

    Returns:
        Rows of teacher, tokens (the label of the bin), above, rows, share; an empty list without any response.
    """
    longest = max((int(c["completion_tokens"].max(initial=0)) for c in lengths.values()), default=0)
    if longest == 0:
        return []
    width = bin_width(longest)
    last = min(BINS, -(-longest // width) - 1)
    found = []
    for teacher, columns in lengths.items():
        tokens = columns["completion_tokens"]
        places = np.clip((tokens - 1) // width, 0, last)
        counts = np.bincount(places, minlength=last + 1)
        for place, count in enumerate(counts.tolist()):
            above = place * width
            label = f">{above}" if place == BINS else f"{above + 1}-{above + width}"
            share = round(count / len(tokens), 6) if len(tokens) else None
            found.append(
                {
                    "teacher": teacher,
                    "tokens": label,
                    "above": above,
                    "rows": count,
                    "share": share,
                }
            )
    return found
