r"""What a mathematical text says that a parser of formulas does not hear.

Math-Verify drops an overline, a number's base, a leading `<` and a unit, and does not know symbols written in Unicode.
So a text is rewritten before it is parsed (`rewrite`), and two texts are compared in what it drops (`difference`).
"""

import re
from collections.abc import Callable
from fractions import Fraction

SYMBOLS = str.maketrans(
    {
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},  # full-width forms of ASCII
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),  # of no width
        **{c: f"_{{{i}}}" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
        "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "−": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "÷": r"\div ",
        "π": r"\pi ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\neq ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∅": r"\emptyset ",
        "±": r"\pm ",
        "°": r"^\circ ",
        "∈": r"\in ",
        "≈": r"\approx ",
        "⟨": "(",
        "⟩": ")",
    }
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_RAISED_RUN = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|[a-z]))")
_REPEATING = re.compile(r"(\d{1,30})?\.(\d{0,30})\\(?:overline|bar)\s*\{?(\d{1,30})\}?")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\b")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*(?:\\circ|\{\s*\\circ\s*\})")
_MODULUS = re.compile(r"\(?\s*\\[pb]?mod\s*\{?\s*(\d+)\s*\}?\s*\)?")
_BASE = re.compile(r"[0-9A-F]*\d[0-9A-F]*\s*_\s*\{?\s*(\d{1,3})\s*\}?$")
_RELATION = re.compile(r"(<|>|\\(?:neq?|leq?|geq?|lt|gt|not)(?![a-z]))")
_QUANTITY = re.compile(
    r".*?[\d}]\s*(?:\\[,;: ]|~)*\s*(?:\\(?:text|textrm|mathrm|mbox)\s*\{)?\s*"
    r"(?P<unit>[A-Za-z][A-Za-z. ]{0,30}?)\.?\s*\}?\s*(?:\^\s*\{?(?P<power>[23])\}?)?\s*"
)
_WORDS = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s*\{[^{}]*\}")
_BARE_LETTER = re.compile(r"(?<![\d.^_])(\d+(?:\.\d+)?)\s*([a-zA-Z])$")
_QUALIFIER = re.compile(
    r"\b(or (?:more|less|fewer)|at (?:least|most)|(?:more|less|greater|fewer|smaller|larger) than|up to|not|between)\b"
)
_POWERS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3, "cu.": 3}

# dimension: the size of each unit in the smallest one that is listed first
_SIZES: dict[str, dict[str, str]] = {
    "length": {
        "mm millimeter millimetre": "1",
        "cm centimeter centimetre": "10",
        "in inch inche": "25.4",
        "ft foot feet": "304.8",
        "yd yard": "914.4",
        "m meter metre": "1000",
        "km kilometer kilometre": "1000000",
        "mi mile": "1609344",
    },
    "time": {
        "s sec second": "1",
        "min minute": "60",
        "h hr hour": "3600",
        "day": "86400",
        "week": "604800",
    },
    "mass": {"mg milligram": "1", "g gram": "1000", "kg kilogram": "1000000"},
    "weight": {"oz ounce": "1", "lb pound": "16"},
    "volume": {"ml milliliter millilitre": "1", "l liter litre": "1000"},
    "money": {"cent": "1", "dollar": "100"},
    "degree": {"degree": "1"},
    "radian": {"rad radian": "1"},
}
_UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(size))
    for dimension, sizes in _SIZES.items()
    for names, size in sizes.items()
    for name in names.split()
}


def plain_symbols(text: str) -> str:
    """Return a text with its Unicode symbols written in ASCII and LaTeX."""
    text = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    return text.translate(SYMBOLS)


def rewrite(text: str) -> str:
    """Return a text in the writing that the parser knows, with the same meaning.

    Unicode symbols become LaTeX, a repeating decimal a fraction, degrees inside a trigonometric function radians,
    angle brackets round ones; a modulus is left out (`difference` compares it).
    """
    text = _ROOT.sub(lambda m: f"\\sqrt{{{m[1] or m[2]}}}", plain_symbols(text))
    text = text.replace("\\varnothing", "\\emptyset")
    text = re.sub(r"\\langle\b", "(", re.sub(r"\\rangle\b", ")", text))
    text = _REPEATING.sub(_fraction, text)
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"{(\1 \\cdot \\frac{\\pi}{180})}", text)
    return _MODULUS.sub("", text)


def difference(reference: str, final: str) -> str | None:
    """Return in what two texts differ that the parser would not see; null where in nothing.

    The base of a number, a modulus that both name, an inequality in a sign or in words, a unit of another dimension.
    """
    base, given_base = _group(_BASE.match, reference), _group(_BASE.match, final)
    # A number without a base may have been meant in the reference's.
    if base and given_base and base != given_base:
        return f"base {given_base} against {base}"
    relation, given_relation = _group(_RELATION.match, reference), _group(_RELATION.match, final)
    if relation != given_relation:
        return f"relation {given_relation} against {relation}"
    modulus, given_modulus = _group(_MODULUS.search, reference), _group(_MODULUS.search, final)
    if modulus and given_modulus and modulus != given_modulus:
        return f"modulus {given_modulus} against {modulus}"
    qualifier, given_qualifier = (_group(_QUALIFIER.search, text) for text in (reference, final))
    if qualifier != given_qualifier:
        return f"{given_qualifier!r} against {qualifier!r}"
    expected, given = _unit(reference), _unit(final)
    if expected and given and expected[0] != given[0]:
        return f"unit of {given[0]} against {expected[0]}"
    return None


def unit_ratio(reference: str, final: str) -> Fraction:
    """Return by what a number in the unit of `final` is multiplied to be in that of `reference`; 1 where unknown."""
    expected, given = _unit(reference), _unit(final)
    if expected and given and expected[0] == given[0]:
        return given[1] / expected[1]
    return Fraction(1)


def keep_variable(text: str, other: str) -> str:
    """Return a text whose last letter the parser will not drop as a unit, where both texts have it as a variable."""
    text = text.strip("$ ")
    other = _WORDS.sub("", other)
    letter = _BARE_LETTER.search(text)
    if letter and re.search(rf"(?<![A-Za-z\\]){letter[2]}(?![A-Za-z])", other):
        return f"{text[: letter.start()]}{letter[2]} \\cdot {letter[1]}"
    return text


def _group(find: Callable[[str], re.Match[str] | None], text: str) -> str | None:
    found = find(text.strip("$ "))
    return found[1] if found else None


def _fraction(found: re.Match[str]) -> str:
    whole, fixed, repeated = found[1] or "0", found[2], found[3]
    numerator = int(whole + fixed + repeated) - int(whole + fixed)
    return f"\\frac{{{numerator}}}{{{(10 ** len(repeated) - 1) * 10 ** len(fixed)}}}"


def _unit(text: str) -> tuple[str, Fraction] | None:
    """Return dimension and size of the unit of a number, e.g. ("length 2", 100) for cm^2; null for an unknown one."""
    if text.strip("$ ").startswith("\\$"):
        return _UNITS["dollar"]
    found = _QUANTITY.fullmatch(text.strip("$ "))
    if found is None:
        return None
    *front, name = found["unit"].split()
    power = int(found["power"] or 1)
    if len(front) == 1 and front[0].lower() in _POWERS:
        power = _POWERS[front[0].lower()]
    elif front:
        return None
    known = _UNITS.get(name.lower()) or _UNITS.get(name.lower().removesuffix("s"))
    if known is None:
        return None
    dimension, size = known
    return dimension if power == 1 else f"{dimension} {power}", size**power
