"""Compares two short texts, ignoring layout markup and insignificant capitals; signs and formulas must be equal."""

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
# Short words that may begin a sentence. Any other two letters may be a symbol: Co is not CO.
_SHORT = "am an as at be by do he if in is it me my no of on or so to up us we"
_FUNCTIONS = frozenset(_SHORT.split())
MAX_ABBREVIATION = 4  # letters; a longer word in capitals is an ordinary word


def tokens(text: str) -> tuple[str, ...]:
    """Return the words, numbers and signs of a text in a normalised form.

    Articles, quotation marks, bold type, LaTeX macros for fonts and spaces, and punctuation at the end are left out.
    Capitals are significant in words that may be symbols or formulas: words of one or two letters, or with a capital
    after the first letter.
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
    """Return whether two texts have the same tokens, of which there is at least one."""
    return tokens(left) == tokens(right) != ()


def _folded(word: str) -> str:
    if len(word) <= 2 and not (word.lower() in _FUNCTIONS and not word.isupper()):
        return word
    if word.isupper():
        return word if len(word) <= MAX_ABBREVIATION else word.casefold()
    return word if any(map(str.isupper, word[1:])) else word.casefold()
