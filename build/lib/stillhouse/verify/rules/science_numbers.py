"""Parses numbers with or without a unit: sign, power of ten, uncertainty and unit, completely or not at all."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

from stillhouse.verify.rules.notation import plain_symbols
from stillhouse.verify.rules.phrases import DASHES
from stillhouse.verify.rules.units import SPECIAL, Unit, read_unit

MAX_CHARS = 500  # longest text that is parsed; a result is shorter
MAX_UNCERTAINTY = Fraction(1, 5)  # share of the value: 5 ± 3 is rather a range, or two solutions
MAX_NOUN_CHARS = 24

_PLAIN = r"(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d{1,30})(?:\.\d{1,30})?|\.\d{1,30}"
_POWER = r"\s*(?:\^|\*\*)\s*\(?\s*(?P<{0}>[-+]?\s?\d{{1,3}})\s*\)?"
_NUMBER = (
    rf"(?P<sign>[-+]?)\s?(?:10{_POWER.format('ten')}|(?P<digits>{_PLAIN})"
    rf"(?:[eE](?P<e>[-+]?\d{{1,3}})(?![\w.])|\s*(?:\\times|\\cdot|\*|[xX⋅])\s*10{_POWER.format('power')})?)"
    r"(?![\d^!]|\s*(?:\^(?!\s*\\circ)|\*|/\s*[\d(]|\\(?:frac|sqrt|pi|times|cdot\s*\d)|[√π])|[.,]\d)"
)
_UNCERTAINTY = rf"\s*(?:\\pm|\+/-|\+-)\s*(?P<off>{_PLAIN})(?![\d^])"
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALE = rf"\s+(?P<scale>{'|'.join(_SCALES)})\b"
_NAME = (
    r"(?:\\?[A-Za-z\u0370-\u03ff]+(?:\s?\\?[A-Za-z\u0370-\u03ff]+)?(?:_\(?\w{1,6}\)?)?(?:\([A-Za-z]\))?'*\s*"
    r"(?:=|\\approx|\\sim|\\simeq|:)\s*){0,2}"
)
_ABOUT = r"(?:(?:about|approximately|approx\.?|roughly|around|ca\.|circa|\\approx|\\sim|~)\s*)?"
_START = re.compile(
    rf"{_NAME}{_ABOUT}(?P<currency>\\\$|[€£¥])?\s*{_NUMBER}(?:{_UNCERTAINTY})?(?:{_SCALE})?"
)
# Words after a number that change its value or make it no number.
_NO_NOUN_WORDS = (
    "above and at below between but by centi cubed dozen either fold for from giga greater half halves "
    "hundred hundredths in into kilo least less lower mega micro milli minus more most nano nd nor not of or "
    "out over per pico plus quarters rd score smaller squared st tenths th than thirds thousandths times to "
    "trillion under until up x"
)
_NO_NOUN = frozenset(_NO_NOUN_WORDS.split())
_NOUN = re.compile(r"\s*-?\s*([A-Za-z][A-Za-z.'-]*(?:\s[A-Za-z][A-Za-z'-]*)?)")
_BOUNDARY = re.compile(
    r"\s*(?:[.!]?\s*$|[.;!]\s|\(|,?\s(?:because|since|as|which|so|when|where|due|after|not)\b|\s[-–—]\s)"
)
_NO = re.compile(
    r"\b(?:not|never|than|least|most|between|from|exceeds?|up\s+to|within|or|either|except|if|unless|would|assum\w+|"
    r"suppose|below|above|under|over|neither|nor|might|may|could)\b|n['’]t\b|[<>]|\\(?:le|ge|lt|gt|neq|leq|geq)\b",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|gives?|get|obtain|yields?|becomes?|has|have|contains?|takes?)\b|=|\\approx|:|→)"
    r"(?:\s*(?:equal\s+to|therefore|thus|then|simply|exactly|only))?\s*"
)
_ANOTHER = re.compile(r"\d[^=]{0,40}[,;]\s*(?:and\s+)?\\?[A-Za-z]\w{0,10}\s*$")
_SPACES = re.compile(r"\\[,;:!> ]|~|[\u00a0\u2009\u202f\u2002-\u200a]")
_TYPE = re.compile(
    r"\\(?:text|math|operator)[a-z]*\b|\\(?:left|right|displaystyle|unit|si)\b|\*\*(?=\D|$)|(?<!\d)\*\*|\\[()\[\]]|(?<!\\)\$|[`]"
)


class Quantity(NamedTuple):
    """A written number: its value, the power of ten of its last decimal, its uncertainty, and its unit."""

    value: Fraction
    last: int
    decimals: bool
    off: Fraction | None
    unit: Unit | None
    noun: str  # the text of a unit that is none of ours, or of a noun
    text: str = ""  # as it is written


def read_quantity(text: str) -> Quantity | None:
    """Return the quantity that a text consists of, or None if it contains anything else."""
    text = plain(text)
    read = _read_at(text, 0)
    return read[0] if read and re.fullmatch(r"[\s.!,;]*", text[read[1] :]) else None


def read_result(text: str, marked: bool) -> Quantity | None:
    """Return the quantity that a final answer gives as its result, or None if that is unclear.

    A `marked` answer begins with the quantity. Any other answer ends with it, in a sentence that names it ("is", "=").
    """
    whole = read_quantity(text)
    if whole:
        return whole
    text = plain(text)
    if marked and (read := _read_at(text, 0)) and _BOUNDARY.match(text, read[1]):
        rest = text[read[1] :]
        again = re.search(r"\b(?:wait|actually|correction|instead|no|or)\b", rest, re.IGNORECASE)
        return None if again and re.search(r"\d", rest) else read[0]
    sentences = [s for s in re.split(r"(?<=[.!?])\s+(?=[^\d\s])|\n", text) if s.strip()]
    last = sentences[-1] if sentences else ""
    if _NO.search(last):
        return None
    for link in reversed(list(_LINK.finditer(last))):
        read = _read_at(last, link.end())
        if read is None:
            continue
        rest = last[read[1] :]
        if re.search(r"\d", rest) or not _BOUNDARY.match(rest):
            return None
        if link[0].startswith("=") and _ANOTHER.search(last[: link.start()]):
            return None  # x = 5, y = 6
        left = re.search(r"(?:^|=)\s*([-+]?[\d.,]+)\s*$", last[: link.start()])
        return None if link[0].startswith("=") and left else read[0]
    return None


def compare(reference: Quantity, given: Quantity, percent: bool) -> bool | Literal["unknown"]:
    """Return whether a quantity equals the reference within half a unit of the reference's last decimal.

    An integer must be equal. A unit may be missing on either side; known units of the same kind are converted.

    Args:
        reference: the right quantity.
        given: the quantity of the answer.
        percent: whether the question asks for a percentage, so that 5% may be written as 5.

    Returns:
        Whether they are equal, or "unknown" if the units cannot be compared.
    """
    factor = Fraction(1)
    asked, found = _kind(reference), _kind(given)
    if asked == ("%",) != found and not found and not given.noun:
        # Both 50 and 0.5 are right for 50%.
        return _same(reference, given, Fraction(1)) or _same(reference, given, Fraction(100))
    if found == ("%",) != asked and not asked and not reference.noun:
        if _same(reference, given, Fraction(1, 100)):
            return True
        return (
            "unknown"
            if _same(reference, given, Fraction(1)) and not percent
            else (_same(reference, given, Fraction(1)))
        )
    if (reference.unit or reference.noun) and (given.unit or given.noun):
        ratio = _ratio(reference, given)
        if ratio is None:
            special = SPECIAL & ({*asked} | {*found})
            other = reference.noun or given.noun or special
            return "unknown" if other else False
        factor = ratio
    if reference.unit and given.unit and reference.unit.metric != given.unit.metric:
        return _same(reference, given, factor) or "unknown"  # rounded in the conversion
    if reference.off is not None and given.off is not None and reference.off != given.off * factor:
        return "unknown"
    return _same(reference, given, factor)


def plain(text: str) -> str:
    """Return a text with uniform notation of numbers, signs and powers, and without typographic markup."""
    text = plain_symbols(_SPACES.sub(" ", text[:MAX_CHARS].replace("{,}", ",")))
    text = re.sub(r"\^\s*\{([^{}]*)\}", r"^(\1)", text)
    text = re.sub(r"\^\s*\(?\s*\\circ\s*\)?\s*", "°", text)
    text = re.sub(r"\\(?:degree|celsius)\b", lambda m: "°" if m[0] == "\\degree" else "°C", text)
    text = re.sub(r"\\(?:mu\b\s*|Omega\b)", lambda m: "µ" if "mu" in m[0] else "Ω", text).replace(
        "\\%", "%"
    )
    text = _TYPE.sub("", text)
    text = re.sub(r"[{}]", "", text)
    # A dash directly before a number is a sign; with a character directly before the dash, it is a range.
    text = re.sub(rf"(?<![\w)\]%°])(?<![\w)\]]\s){DASHES.pattern}(?=\s?[.\d])(?!\s)", "-", text)
    text = re.sub(rf"(?<=[\s=(:]){DASHES.pattern}(?=[.\d])", "-", text)
    text = re.sub(rf"(=\s*){DASHES.pattern}\s(?=[.\d])", r"\1-", text)
    text = re.sub(rf"(?<=\^\(){DASHES.pattern}|(?<=\^){DASHES.pattern}", "-", text)
    text = re.sub(r"\b(?:minus|negative)\s+(?=[.\d])", "-", text, flags=re.IGNORECASE)
    text = (
        re.sub(r"(?<=\d)\s(?=\d{3}\b)", ",", text)
        if re.fullmatch(r"\D*\d{1,3}(?: \d{3})+\D*", text)
        else text
    )
    return text.strip()


def _read_at(text: str, at: int) -> tuple[Quantity, int] | None:
    """Return the quantity that begins at a position of a text, and its end."""
    found = _START.match(text, at)
    if found is None:
        return None
    end = found.end()
    rest = text[end:]
    unit, noun = None, ""
    if known := read_unit(rest.lstrip()):
        unit = known[0]
        length = len(rest) - len(rest.lstrip()) + known[1]
        # "5 m" in "5 marbles" is not a quantity.
        if re.match(r"[\w^]", rest[length:]):
            return None
        end += length
    elif word := _NOUN.match(rest):
        noun = word[1].rstrip(".'-")
        if not _is_noun(noun):
            noun = noun.split()[0]
        if not _is_noun(noun):
            noun = ""
        else:
            end += rest.index(noun) + len(noun)
    elif found["currency"]:
        noun = found["currency"]
    if re.match(r"\s*(?:[-/^*=+<>]|\\(?:pm|times|cdot|frac|sqrt))", text[end:]) and not re.match(
        r"\s-\s", text[end:]
    ):
        return None
    if re.match(rf"\s*{DASHES.pattern}\s*[\d.]", text[end:]):
        return None
    return _quantity(found, unit, noun)._replace(text=text[at:end].strip()), end


def _is_noun(noun: str) -> bool:
    return 1 < len(noun) <= MAX_NOUN_CHARS and not _NO_NOUN & {*noun.casefold().split()}


def _quantity(found: re.Match[str], unit: Unit | None, noun: str) -> Quantity:
    digits = (found["digits"] or "1").replace(",", "")
    power = int((found["ten"] or found["e"] or found["power"] or "0").replace(" ", ""))
    power += _SCALES.get(found["scale"] or "", 0)
    number = Decimal(digits)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern excludes infinity
    scale = Fraction(10) ** power
    sign = -1 if found["sign"] == "-" else 1
    off = Fraction(found["off"].replace(",", "")) * scale if found["off"] else None
    return Quantity(
        sign * Fraction(number) * scale, exponent + power, "." in digits, off, unit, noun
    )


def _kind(quantity: Quantity) -> tuple[str, ...]:
    return tuple(name for name, _ in quantity.unit.powers) if quantity.unit else ()


def _ratio(reference: Quantity, given: Quantity) -> Fraction | None:
    """Return the factor that converts the given number to the unit of the reference, or None if it is unknown."""
    if reference.unit and given.unit:
        if reference.unit.powers == given.unit.powers:
            return given.unit.size / reference.unit.size
        kinds = {_kind(reference), _kind(given)}
        # "degrees" is less specific than the reference for a temperature, and "C" may be Celsius.
        return (
            Fraction(1)
            if kinds in ({("°C",), ("°",)}, {("°C",), ("C",)}, {("°F",), ("°",)})
            else None
        )
    same = reference.noun.replace(" ", "") == given.noun.replace(" ", "")
    plural = reference.noun.casefold().rstrip("s") == given.noun.casefold().rstrip("s")
    if not (reference.unit or given.unit) and (same or (plural and len(given.noun) > 3)):
        return Fraction(1)
    return None


def _same(reference: Quantity, given: Quantity, factor: Fraction) -> bool:
    slack = Fraction(10) ** reference.last / 2 if reference.decimals else Fraction(0)
    if given.off is not None and given.off > abs(given.value) * MAX_UNCERTAINTY:
        return False
    return abs(reference.value - given.value * factor) <= slack
