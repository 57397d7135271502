"""Interprets words next to a number: everyday units, counted nouns, and words that change or exclude the number."""

import re
from fractions import Fraction

from stillhouse.verify.rules.units import Unit, unit_named

# Names of units that are recognised next to a number of a formula; a plural ends in s. Other names count as nouns.
_DAILY = frozenset(
    str.split(
        "nm nanometer nanometre μm micrometer micrometre micron mm millimeter millimetre cm centimeter centimetre dm "
        "decimeter decimetre in inch inche ft foot feet yd yard m meter metre km kilometer kilometre mi mile ms "
        "millisecond s sec second min minute h hr hour day week wk month year yr decade century centurie mg milligram "
        "g gram kg kilogram kilo oz ounce lb pound ton ml mL milliliter millilitre cl dl l L liter litre cup pint pt "
        "quart qt gallon gal cent ¢ dollar USD buck euro EUR sterling GBP rupee INR rs yen JPY degree deg rad radian "
        "N newton kN kilonewton J joule kJ kilojoule MJ megajoule mW milliwatt W watt kW kilowatt MW megawatt V volt "
        "A amp ampere K kelvin C celsius F fahrenheit Hz hertz byte B mph kmh kph kmph"
    )
)
_TEMPERATURES = {"C": "°C", "F": "°F"}  # in everyday use not coulomb and farad
# One of these letters after a number is a unit, unless it is a variable in the other text.
UNIT_LETTERS = frozenset(str.split("m s h g l L N J W V"))
MAX_WORDS = 12  # words after a number; a longer text is a sentence
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
# Words that change the meaning of a quantity; they are never counted nouns.
QUALIFIERS = frozenset(
    str.split(
        "not no never neither nor or and more less fewer greater smaller larger least most minimum maximum over "
        "under above below "
        "between up minus negative plus times except excluding without than within other half twice double triple "
        "almost nearly "
        "per-cent hundredths tenths thousandths thirds fourths fifths sixths sevenths eighths ninths squared cubed "
        "factorial base modulo mod wrong incorrect if unless when where either any"
    )
)
# Words that exclude each other.
PROPERTIES = frozenset(
    str.split(
        "odd even prime composite positive negative true false yes no increasing decreasing rational irrational "
        "real complex "
        "am pm a.m p.m north south east west convergent divergent converges diverges dependent independent "
        "noon midnight ad bc bce ce heads tails winner loser male female gain loss profit debit credit"
    )
)


def known_unit(name: str) -> Unit | None:
    """Return the everyday unit that a word names, in singular or plural, or None."""
    plain = name.rstrip(".")
    lower = plain.lower()
    names = (plain, lower, lower.removesuffix("s")) if len(lower) > 2 else (plain, lower)
    for known in names if len(plain) > 1 else (plain,):
        if known in _DAILY:
            return unit_named(_TEMPERATURES.get(known, known))
    return None


def dimension(words: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """Return the dimension and size of a unit in words, or None: `square cm` is (("m", 2),), 1/10000.

    `words` may contain powers (cm^2, square feet) and quotients (km/h, miles per hour).
    """
    words = re.sub(r"\bper\b", "/", words)
    words = re.sub(r"(?<=\w )(?:of|in|the|a|an)(?= \w)", " ", words)
    parts = words.split("/")
    powers: dict[str, int] = {}
    size = Fraction(1)
    for place, part in enumerate(parts):
        sign = 1 if place == 0 else -1
        power = 1
        names = re.findall(r"[^\W\d_]+\.?(?:\s*\^\s*-?\d)?|¢", part.replace("·", " "))
        if not names and place == 0 and len(parts) > 1:
            return None
        for name in names:
            base, _, exponent = name.partition("^")
            base = base.strip()
            if base.lower().rstrip(".") in _POWERS:
                power = _POWERS[base.lower().rstrip(".")]
                continue
            found = known_unit(base)
            if found is None:
                return None
            times = sign * (int(exponent) if exponent else power)
            size *= found.size**times
            for kind, of_unit in found.powers:
                powers[kind] = powers.get(kind, 0) + of_unit * times
            power = 1
    measured = tuple(sorted((name, power) for name, power in powers.items() if power))
    return (measured, size) if measured else None


def same_words(left: str, right: str) -> bool | None:
    """Return whether the words next to two numbers have the same meaning, or None if that is unknown.

    Equal words (also singular and plural), words with an additional adjective, and units of equal size have the same
    meaning. Units of another size or dimension, and words that exclude each other (odd, even), do not.
    """
    if left == right:
        return True
    a, b = _stems(left), _stems(right)
    if (set(a) ^ set(b)) & (PROPERTIES | QUALIFIERS):
        return False
    first, second = dimension(left), dimension(right)
    if first and second:
        return first == second
    if a and b and (set(a) <= set(b) or set(b) <= set(a)):
        return True
    return None


def counted(words: str) -> bool:
    """Return whether words after a number only name its unit or the counted noun, and do not change the number."""
    if re.fullmatch(
        r"times(?: (?:a|per|each|every|in|altogether|total|day|week|month|year|hour)){0,4}", words
    ):
        return True
    return not set(_stems(words)) & (PROPERTIES | QUALIFIERS) and len(words.split()) <= MAX_WORDS


def _stems(words: str) -> list[str]:
    found = re.findall(r"[^\W\d_][\w.'’-]*|\d+", words.lower())
    return [
        word if word in PROPERTIES | QUALIFIERS or len(word) < 4 else word.removesuffix("s")
        for word in (word.rstrip(".") for word in found)
        if word not in ("the", "a", "an", "of", "is", "are")
    ]
