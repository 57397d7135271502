"""How the texts of queries and benchmark items are normalised and cut into words, to be compared."""

import re
import unicodedata
from typing import NamedTuple

from stillhouse.records import Query
from stillhouse.records import nfc as nfc

# A word, a number with its separators ("1,200.5"), or an arithmetic sign: "7 - 4" and "7 + 4" are different problems.
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d]+|[-+*/^=<>×÷%]")
# A number, or a sign beside one; a hyphen within a word is not arithmetic.
_QUANTITY = re.compile(r"\d+(?:[.,]\d+)*|(?<=\d)\s*([-+*/^=<>×÷%])|([-+*/^=<>×÷%])(?=\s*[\d(])")


class Word(NamedTuple):
    """A word, casefolded, and where it stands in the text."""

    text: str
    start: int
    end: int


def folded(text: str) -> str:
    """Return the text without differences of case, of space, or of Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", nfc(text).casefold()).split())


def words(text: str) -> list[Word]:
    """Return the words, numbers and arithmetic signs of a text in order."""
    return [Word(m.group().casefold(), m.start(), m.end()) for m in _WORD.finditer(text)]


def quantities(text: str) -> tuple[str, ...]:
    """Return the numbers of a text, and the arithmetic signs beside them, in order."""
    return tuple(match.group().strip() for match in _QUANTITY.finditer(text))


def conversation_text(query: Query) -> str:
    """Return all turns of a query as one text, each after its role."""
    return "\n\n".join(f"{message.role}: {message.content}" for message in query.messages)
