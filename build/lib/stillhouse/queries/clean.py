"""Rules that drop a query for its text alone (paper section 2.1, and image references as in the sibling reports)."""

import re
from collections.abc import Iterable, Iterator

from stillhouse.params.queries import Clean
from stillhouse.records import Query, Rejected

EVIDENCE_CHARS = 200
_URL = re.compile(r"\b(?:https?|ftp)://\S+|\bwww\.\w\S*", re.IGNORECASE)
# A Markdown row of dashes below a header with at least two columns, or a table in HTML or LaTeX.
_TABLE = re.compile(
    r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)+\|?[ \t]*$"
    r"|^[ \t]*\|[ \t]*:?-{2,}:?[ \t]*\|[ \t]*$|<table\b[^>]*>|\\begin\{(?:tabular|array|longtable)\w*\*?\}",
    re.IGNORECASE | re.MULTILINE,
)
_IMAGE = re.compile(
    r"!\[[^\]]*\]\([^)]*\)|<(?:img|image)\b[^>]*>|\\includegraphics\b"
    r"|\b(?:image|picture|photo|figure|diagram)s?\s+(?:above|below)\b"
    r"|\b(?:above|following|attached)\s+(?:image|picture|photo|figure|diagram)\b"
    r"|\b(?:in|from|see)\s+the\s+(?:image|picture|photo|figure|diagram)\b",
    re.IGNORECASE,
)


def clean(queries: Iterable[Query], rules: Clean) -> Iterator[Query | Rejected]:
    """Yield every query, or its rejection with the first rule that it breaks.

    Reasons: `too_short` (last user turn), `too_long`, `non_ascii`, `url`, `table`, `image` (any turn).
    """
    for query in queries:
        fault = _fault(query, rules)
        yield query if fault is None else Rejected(query=query, reason=fault[0], evidence=fault[1])


def _fault(query: Query, rules: Clean) -> tuple[str, str] | None:
    """Return reason and evidence of the first broken rule."""
    text = "\n".join(message.content for message in query.messages)
    if len(query.prompt) < rules.min_chars:
        return "too_short", f"{len(query.prompt)} characters"
    if len(text) > rules.max_chars:
        return "too_long", f"{len(text)} characters"
    foreign = sum(not character.isascii() for character in text) / len(text)
    if foreign > rules.max_non_ascii:
        return "non_ascii", f"{foreign:.2f} of the characters"
    for reason, wanted, pattern in (
        ("url", rules.drop_urls, _URL),
        ("table", rules.drop_tables, _TABLE),
        ("image", rules.drop_images, _IMAGE),
    ):
        if wanted and (match := pattern.search(text)):
            return reason, match.group().strip()[:EVIDENCE_CHARS]
    return None
