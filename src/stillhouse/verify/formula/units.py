"""Units of measure: what a word beside a number may be, and how two of them compare."""

import re
from fractions import Fraction

# dimension: the size of each unit in the smallest one that is listed first
_SIZES: dict[str, dict[str, str]] = {
    "length": {
        "nm nanometer nanometre": "0.000001",
        "μm micrometer micrometre micron": "0.001",
        "mm millimeter millimetre": "1",
        "cm centimeter centimetre": "10",
        "dm decimeter decimetre": "100",
        "in inch inche": "25.4",
        "ft foot feet": "304.8",
        "yd yard": "914.4",
        "m meter metre": "1000",
        "km kilometer kilometre": "1000000",
        "mi mile": "1609344",
    },
    "time": {
        "ms millisecond": "0.001",
        "s sec second": "1",
        "min minute": "60",
        "h hr hour": "3600",
        "day": "86400",
        "week wk": "604800",
    },
    "months": {"month": "1", "year yr": "12", "decade": "120", "century centurie": "1200"},
    "mass": {"mg milligram": "1", "g gram": "1000", "kg kilogram kilo": "1000000"},
    "weight": {"oz ounce": "1", "lb pound": "16", "ton": "32000"},
    "volume": {
        "ml mL milliliter millilitre": "1",
        "cl": "10",
        "dl": "100",
        "l L liter litre": "1000",
    },
    "measure": {"cup": "1", "pint pt": "2", "quart qt": "4", "gallon gal": "16"},
    "money": {"cent ¢": "1", "dollar USD buck": "100"},
    "euro": {"euro EUR": "1"},
    "pound": {"pound sterling GBP": "1"},
    "rupee": {"rupee INR rs": "1"},
    "yen": {"yen JPY": "1"},
    "angle": {"degree deg": "1"},
    "radian": {"rad radian": "1"},
    "force": {"N newton": "1", "kN kilonewton": "1000"},
    "energy": {"J joule": "1", "kJ kilojoule": "1000", "MJ megajoule": "1000000"},
    "power": {
        "mW milliwatt": "1",
        "W watt": "1000",
        "kW kilowatt": "1000000",
        "MW megawatt": "1000000000",
    },
    "voltage": {"V volt": "1"},
    "current": {"A amp ampere": "1"},
    "temperature": {"K kelvin": "1"},
    "celsius": {"C celsius": "1"},
    "fahrenheit": {"F fahrenheit": "1"},
    "frequency": {"Hz hertz": "1"},
    "digital": {"byte B": "1"},
    "speed": {"mph": "1"},
}
UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(size))
    for dimension, sizes in _SIZES.items()
    for names, size in sizes.items()
    for name in names.split()
}
# A letter of these after a number is a unit, unless the other text has it as a variable.
UNIT_LETTERS = frozenset(str.split("m s h g l L N J W V"))
MAX_WORDS = 12  # behind a number; a longer stretch is a sentence
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_COMPOUND = {"mph": ("mile", "hour"), "kmh": ("km", "hour"), "kph": ("km", "hour")}
# Words that turn a quantity into something else: never a counted thing.
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
# Words of which one excludes the other.
PROPERTIES = frozenset(
    str.split(
        "odd even prime composite positive negative true false yes no increasing decreasing rational irrational "
        "real complex "
        "am pm a.m p.m north south east west convergent divergent converges diverges dependent independent "
        "noon midnight ad bc bce ce heads tails winner loser male female gain loss profit debit credit"
    )
)


def known_unit(name: str) -> tuple[str, Fraction] | None:
    """Return dimension and size of a unit named by one word, singular or plural; null for an unknown one."""
    lower = name.rstrip(".").lower()
    plain = name.rstrip(".")
    if len(plain) < 2:
        return UNITS.get(plain)
    return (
        UNITS.get(plain)
        or UNITS.get(lower)
        or UNITS.get(lower.removesuffix("s") if len(lower) > 2 else "")
    )


def dimension(words: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """Return what a unit in words measures, and its size: `square cm` is (("length", 2),), 100; null for an unknown.

    `words` may hold powers (cm^2, square feet) and quotients (km/h, miles per hour).
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
            numerator, denominator = _COMPOUND.get(base.lower(), (base, ""))
            for unit, direction in ((numerator, 1), (denominator, -1)):
                if not unit:
                    continue
                found = known_unit(unit)
                if found is None:
                    return None
                times = sign * direction * (int(exponent) if exponent else power)
                powers[found[0]] = powers.get(found[0], 0) + times
                size *= found[1] ** times
            power = 1
    measured = tuple(sorted((name, power) for name, power in powers.items() if power))
    return (measured, size) if measured else None


def same_words(left: str, right: str) -> bool | None:
    """Whether what two texts say beside a number is the same; null where that is not known.

    The same words (a plural is no other word), one with an adjective more, or units of one size are the same. Units of
    another size or dimension, and words that exclude each other (odd, even), are not.
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
    """Whether words after a number name only its unit or the thing counted, and do not change the number."""
    if re.fullmatch(r"times(?: (?:a|per|each|every|in|altogether|total|day|week|month|year|hour)){0,4}", words):
        return True
    return not set(_stems(words)) & (PROPERTIES | QUALIFIERS) and len(words.split()) <= MAX_WORDS


def _stems(words: str) -> list[str]:
    found = re.findall(r"[^\W\d_][\w.'’-]*|\d+", words.lower())
    return [
        word if word in PROPERTIES | QUALIFIERS or len(word) < 4 else word.removesuffix("s")
        for word in (word.rstrip(".") for word in found)
        if word not in ("the", "a", "an", "of", "is", "are")
    ]
