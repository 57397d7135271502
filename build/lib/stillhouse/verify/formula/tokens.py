r"""Splits a formula into tokens of a closed set, so that no part of a text is ignored.

Text that is not a number, known command, variable, operator or bracket is a word. An unknown command is an error.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from stillhouse.verify.formula.errors import TooComplexError, UnreadError
from stillhouse.verify.formula.vocabulary import (
    ACCENTS,
    ALIASES,
    CLOSING,
    COMMANDS,
    CURRENCIES,
    DOTS,
    FUNCTIONS,
    GREEK,
    OPENING,
    OPERATORS,
    RELATIONS,
    SPELLED,
    STOPWORDS,
)
from stillhouse.verify.formula.words import UNIT_LETTERS, known_unit

MAX_DIGITS = 400  # consecutive digits; the longest number of a textbook is far shorter

_STYLES = (
    "text|textbf|textrm|textit|textsf|texttt|textnormal|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname\\*?|"
    "boldsymbol|bm|emph|rm|bf"
)
_NUMBER = (
    r"(?P<repeat>\d{0,30}\.\d{0,30}\\(?:overline|bar)\s*(?:\{\d{1,30}\}|\d))"
    r"|(?P<apart>\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?![\d])(?:\.\d+)?)"
    r"|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+(?![\w.]))?\.?(?![\d.]))"
)
_TOKEN = re.compile(
    rf"(?P<space>\s+)|{_NUMBER}|\\(?P<style>{_STYLES})\s*\{{(?P<styled>[^{{}}]*)\}}|\\math(?:bb|cal|frak|scr)\s*\{{(?P<black>[A-Za-z])\}}"
    r"|\\(?P<edge>begin|end)\s*\{(?:[pbvBV]?matrix|smallmatrix|array)\}(?:\s*\{[lcr| ]*\})?"
    r"|(?P<row>\\\\(?:\s*\[[^\]]{0,9}\])?)|(?P<command>\\(?:[A-Za-z]+|[{}|%#&_]))|(?P<run>[A-Za-z]+)|(?P<dots>\.\.\.+)"
    r"|(?P<sign>\*\*|<=|>=|!=(?!=)|==|[-+*/^!%_'&,;:|=<>(){}\[\]¤€£¥₹?°])"
)
# The hyphens in 12 t-shirts and 9 star-shaped stones; but 2 ab-c is a difference.
_COMPOUND = re.compile(
    r"(?:[A-Za-z][a-z]+|[A-Za-z](?=-[a-z]{4}))(?:-[a-z]+){0,3}-[a-z]{3,}(?![\w^(])"
)
_PROSE = re.compile(
    rf"(?P<space>\s+)|{_NUMBER}|(?P<word>[^\W\d_](?:[^\W\d_]|[.'’-](?=\w)|\.(?=\s|$))*)|(?P<sign>.)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text, and its position; `spaced` if a space precedes it."""

    kind: str
    text: str
    start: int
    spaced: bool = False
    value: Fraction | None = None
    digits: int | None = None
    places: int = 0


def tokenise(text: str, variables: frozenset[str], thousands: bool) -> list[Token]:
    """Return the tokens of a cleaned text.

    Args:
        text: the result of `notation.clean`.
        variables: letters that are variables and not units, because the other text has them.
        thousands: whether `1,234` outside brackets is one number.

    Raises:
        UnreadError: a command or character is unknown.
        TooComplexError: a number is longer than `MAX_DIGITS`.
    """
    tokens: list[Token] = []
    position = depth = 0
    spaced = False
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise UnreadError(f"{text[position]!r}")
        compound = _COMPOUND.match(text, position) if tokens and spaced else None
        if compound and tokens[-1].kind in ("num", "word"):
            tokens.append(Token("word", compound[0], position, True))
            position, spaced = compound.end(), False
            continue
        kind = found.lastgroup or ""
        end = found.end()
        if kind == "space":
            spaced = True
            position = end
            continue
        if kind == "apart" and not (thousands and (depth == 0 or "," not in found[0])):
            found = re.compile(r"(?P<number>\d+(?:\.\d+)?)").match(text, position)
            assert found is not None
            kind, end = "number", found.end()
        if kind in ("number", "apart", "repeat"):
            tokens.append(_number(kind, found[0], position, spaced))
        elif kind in ("style", "styled"):
            _styled(tokens, found["style"], found["styled"], position, spaced)
        elif kind == "black":
            tokens.append(Token("sym", f"{found['black']}{found['black']}", position, spaced))
        elif kind == "run":
            _letters(tokens, text, found, spaced, variables)
        elif kind == "command":
            tokens.append(_command(found[0], position, spaced))
        elif kind == "edge":
            tokens.append(Token(found["edge"], found["edge"], position, spaced))
        elif kind == "row":
            tokens.append(Token("op", "\\\\", position, spaced))
        elif kind == "dots":
            tokens.append(Token("dots", "...", position, spaced))
        else:
            tokens.append(_sign(found[0], position, spaced))
        last = tokens[-1] if tokens else None
        if last and last.kind in ("open", "close") and last.text not in ("{", "}"):
            depth += 1 if last.kind == "open" else -1
        spaced = False
        position = end
    return _units(tokens, variables)


def _number(kind: str, text: str, start: int, spaced: bool) -> Token:
    if sum(map(str.isdigit, text)) > MAX_DIGITS:
        raise TooComplexError(f"more than {MAX_DIGITS} digits in a row")
    if kind == "repeat":
        whole, rest = text.split(".")
        fixed, repeated = re.split(r"\\(?:overline|bar)", rest)
        repeated = repeated.strip(" {}")
        numerator = int((whole or "0") + fixed + repeated) - int((whole or "0") + fixed)
        value = Fraction(numerator, (10 ** len(repeated) - 1) * 10 ** len(fixed))
        return Token("num", text, start, spaced, value)
    plain = re.sub(r"[, ]", "", text).rstrip(".")
    mantissa, _, exponent = plain.lower().partition("e")
    if exponent and len(exponent.lstrip("+-")) > 3:
        raise TooComplexError("a decimal exponent of more than 3 digits")
    value = Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
    whole, _, decimals = mantissa.partition(".")
    digits = len((whole + decimals).lstrip("0")) if decimals else None
    return Token("num", plain, start, spaced, value, digits, len(decimals) - int(exponent or 0))


def _sign(text: str, start: int, spaced: bool) -> Token:
    if text in RELATIONS:
        return Token("rel", RELATIONS[text], start, spaced)
    if text in OPENING:
        return Token("open", OPENING[text], start, spaced)
    if text in CLOSING:
        return Token("close", CLOSING[text], start, spaced)
    operator = OPERATORS.get(text)
    if operator is None:
        raise UnreadError(f"{text!r}")
    return Token(
        "cur" if operator == "cur" else "op", CURRENCIES.get(text, operator), start, spaced
    )


def _command(text: str, start: int, spaced: bool) -> Token:
    name = text[1:]
    if name in GREEK:
        return Token("sym", name, start, spaced)
    if name in FUNCTIONS or name in ALIASES:
        return Token("fn", ALIASES.get(name, name), start, spaced)
    if name in DOTS:
        return Token("dots", "...", start, spaced)
    if name in ACCENTS:
        return Token("accent", name, start, spaced)
    if name in COMMANDS:
        return Token("cmd", "emptyset" if name == "varnothing" else name, start, spaced)
    if name in ("boxed", "fbox"):
        return Token("cmd", "group", start, spaced)
    if name in ("partial", "nabla"):
        return Token("sym", name, start, spaced)
    if name in ("land", "wedge"):
        return Token("sep", "and", start, spaced)
    if name in ("lor", "vee"):
        return Token("sep", "or", start, spaced)
    if text == "\\&":
        return Token("sep", "and", start, spaced)
    if (
        name == "checkmark"
        or text not in OPERATORS.keys() | RELATIONS.keys() | OPENING.keys() | CLOSING.keys()
    ):
        raise UnreadError(text)
    return _sign(text, start, spaced)


def _styled(tokens: list[Token], style: str, content: str, start: int, spaced: bool) -> None:
    """Add the tokens of a text macro: a roman or bold letter is a variable, a name a function, other text is prose."""
    plain = content.strip()
    lone = re.fullmatch(r"[A-Za-z]", plain)
    if lone and style.startswith(("math", "bold", "bm", "operator", "rm", "bf")):
        previous = tokens[-1] if tokens else None
        unit = (
            style in ("mathrm", "rm")
            and plain in UNIT_LETTERS
            and previous is not None
            and previous.kind == "num"
        )
        tokens.append(Token("word" if unit else "sym", plain, start, spaced))
        return
    name = ALIASES.get(plain, plain)
    if name in FUNCTIONS and not style.startswith("text"):
        tokens.append(Token("fn", name, start, spaced))
        return
    if style.startswith("operatorname"):
        tokens.append(Token("fn", plain, start, spaced))
        return
    _prose(tokens, content, start, spaced)


def _prose(tokens: list[Token], text: str, start: int, spaced: bool) -> None:
    at = 0
    spaced = spaced or text[:1].isspace()
    while at < len(text):
        found = _PROSE.match(text, at)
        if found is None:
            raise UnreadError(f"{text[at]!r}")
        at = found.end()
        kind = found.lastgroup
        if kind == "space":
            spaced = True
            continue
        if kind in ("number", "apart", "repeat"):
            tokens.append(_number(kind, found[0], start, spaced))
        elif kind == "word":
            word = found[0]
            if word.lower() in ("and", "or"):
                tokens.append(Token("sep", word.lower(), start, spaced))
            else:
                tokens.append(Token("word", word, start, True))
        elif found[0] in '.!?"':
            pass
        else:
            tokens.append(_sign(found[0], start, spaced))
        spaced = False


def _letters(
    tokens: list[Token], text: str, found: re.Match[str], spaced: bool, variables: frozenset[str]
) -> None:
    """Add the tokens of consecutive letters outside text macros: function names, a word, or a product of variables."""
    run, start = found[0], found.start()
    previous = tokens[-1] if tokens else None
    if run.lower() in ("and", "or") and len(text) > len(run):
        tokens.append(Token("sep", run.lower(), start, spaced))
    elif (run in FUNCTIONS or run in ALIASES) and not (
        previous and previous.kind == "num" and known_unit(run)
    ):
        tokens.append(Token("fn", ALIASES.get(run, run), start, spaced))
    elif run in SPELLED:
        tokens.append(_command(SPELLED[run], start, spaced))
    elif run in GREEK and len(run) > 2 and not (previous and previous.kind == "word"):
        tokens.append(Token("sym", run, start, spaced))
    elif _is_word(run, text, found.end(), previous, spaced):
        tokens.append(Token("word", run, start, True))
    elif len(run) > 1 and run.isupper():
        tokens.append(Token("sym", run, start, spaced))
    else:
        tokens.extend(
            Token("sym", letter, start, spaced and i == 0) for i, letter in enumerate(run)
        )


def _is_word(run: str, text: str, end: int, previous: Token | None, spaced: bool) -> bool:
    """Return whether consecutive letters are prose, and neither a product of variables nor a name in capitals."""
    if len(run) == 1:
        followed = re.match(r"\s+[A-Za-z]{2,}", text[end:])
        if previous is not None and previous.kind == "num":
            return run == "a" and spaced and followed is not None  # 15 a week
        return bool(previous and previous.kind == "word" and spaced and (followed or run in "aI"))
    after_number = previous is not None and previous.kind in ("num", "close", "deg")
    if run.isupper():
        return run in ("AM", "PM", "DNE", "USD", "AD", "BC", "CE", "NOT", "NO", "YES") or bool(
            after_number and known_unit(run)
        )
    if after_number and (known_unit(run) is not None):
        return True
    if run.lower() in STOPWORDS or (previous is not None and previous.kind == "word"):
        return len(run) > 1
    if len(run) > 3:
        return True
    if re.match(r"\s+[A-Za-z]{4,}|-[A-Za-z]{3,}", text[end:]) and (spaced or previous is None):
        return True
    if len(run) == 3 and run.islower():
        # No remaining word is an anagram of another one: only one order of three letters is a product.
        return list(run) != sorted(set(run))
    return not run.islower() and len(run) == 3


def _units(tokens: list[Token], variables: frozenset[str]) -> list[Token]:
    """Return the tokens with units after numbers as words: `m` in `5 m`, `m/s^2` in `9.8 m/s^2`, all of `cm^2`."""
    result: list[Token] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if (
            token.kind == "sym"
            and token.text in UNIT_LETTERS
            and token.text not in variables
            and _ends_number(result)
        ):
            end = _end_of_unit(tokens, i, variables)
            if end:
                text = "".join(t.text if t.text not in "{}" else "" for t in tokens[i:end])
                result.append(Token("word", text, token.start, True))
                i = end
                continue
        if token.kind == "word" and known_unit(token.text):
            end = _end_of_unit(tokens, i, variables) or i + 1
            text = "".join(t.text if t.text not in "{}" else "" for t in tokens[i:end])
            result.append(Token("word", text, token.start, True))
            i = end
            continue
        result.append(token)
        i += 1
    return result


def _ends_number(before: list[Token]) -> bool:
    return bool(before) and (
        before[-1].kind == "num" or (before[-1].text == "}" and before[-1].kind == "close")
    )


def _end_of_unit(tokens: list[Token], start: int, variables: frozenset[str]) -> int | None:
    """Return the end of a unit that begins at a token: a separator, a word or the text's end. None if it is no unit."""
    i = start
    while True:
        i += 1
        if i < len(tokens) and tokens[i].text == "^":
            i = _after_exponent(tokens, i)
        following = tokens[i] if i < len(tokens) else None
        if (
            following is None
            or following.kind in ("sep", "word", "rel", "close")
            or following.text in (",", ";", "&", "\\\\")
        ):
            return i
        if following.kind == "num" and tokens[start].kind == "word":
            return i
        unit = tokens[i + 1] if i + 1 < len(tokens) else None
        if (
            following.text != "/"
            or unit is None
            or not (unit.kind == "word" or unit.text in UNIT_LETTERS)
        ):
            return None
        i += 1


def _after_exponent(tokens: list[Token], i: int) -> int:
    """Return the position after an exponent of one digit, with or without braces."""
    for length in (2, 4, 3, 5):
        part = tokens[i : i + length]
        texts = "".join(t.text for t in part)
        if len(part) == length and re.fullmatch(r"\^-?\d|\^\{-?\d\}", texts):
            return i + length
    return i


def is_accent_dropped(accent: str, name: str) -> bool:
    """Return whether an accent only marks a letter as a vector, or capitals as a line segment."""
    return (
        accent in ("vec", "overrightarrow")
        or (accent == "hat" and name in ("i", "j", "k"))
        or (accent == "overline" and len(name) > 1 and name.isupper())
    )
