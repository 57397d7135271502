"""Whether two short texts are the same, marks of layout and unimportant capitals aside; signs and formulas count."""

import re

from stillhouse.verify.rules.notation import plain_symbols

MACRO = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt)?|math(?:bf|rm|it|sf)|mbox|operatorname|displaystyle)\b\s*\{([^{}]*)\}"
)
DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")

_LAYOUT = re.compile(r"\\(?:left|right|displaystyle|quad|[,;!: ()\[\]])|\*\*|__|[`$\"“”„«»{}]")
_CHARGE = re.compile(r"\^\s*\{?\s*(\d?[+-])\s*\}?(?!\w)")  # Fe^{3+} is Fe3+
_TOKEN = re.compile(r"\\[A-Za-z]+|\d+(?:\.\d+)?|[^\W\d_]+|[^\s\w]|_")
_ARTICLES = frozenset({"a", "an", "the"})
# Short words that may begin a sentence; any other of two letters may be a symbol: Co is not CO.
_SHORT = "am an as at be by do he if in is it me my no of on or so to up us we"
_FUNCTIONS = frozenset(_SHORT.split())
MAX_ABBREVIATION = 4  # letters; a longer word of capitals is a word in capitals


def tokens(text: str) -> tuple[str, ...]:
    """Return the words, numbers and signs of a text, in a form in which equal texts are equal.

    Articles, quotation marks, bold type, the macros of LaTeX for type and space, and punctuation at the end are left
    out. Capitals count in words that may be symbols or formulas: of one or two letters, or with a capital inside.
    """
    text = plain_symbols(text)
    for _ in range(2):
        text = MACRO.sub(r" \1 ", text)
    text = _CHARGE.sub(r"\1", text)
    text = _LAYOUT.sub(" ", DASHES.sub("-", text).replace("’", "'"))
    text = text.strip("*_ \n\t").rstrip(" .,;:*_\n")
    if text[-2:-1].isalpha():  # "Osmosis!", but not 5!
        text = text.rstrip("!")
    found = _TOKEN.findall(text)
    return tuple(
        _folded(token)
        for token, following in zip(found, [*found[1:], ""], strict=False)
        if token not in "._"
        and not (token.casefold() in _ARTICLES and len(following) > 1 and following.isalpha())
    )


def same_text(left: str, right: str) -> bool:
    """Whether two texts have the same tokens, and any at all."""
    return tokens(left) == tokens(right) != ()


def _folded(word: str) -> str:
    if len(word) <= 2 and not (word.lower() in _FUNCTIONS and not word.isupper()):
        return word
    if word.isupper():
        return word if len(word) <= MAX_ABBREVIATION else word.casefold()
    return word if any(map(str.isupper, word[1:])) else word.casefold()
