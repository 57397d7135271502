"""Defines the units of measurement by their size in base units, so that 5 mW differs from 5 MW, and 5 MW is 5,000 kW.

All rules use this table. The science rule parses units in texts (`read_unit`). The math rule uses only the names of
everyday units (`formula/words.py`), because a letter or a word in capitals in a formula is usually a variable.
"""

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: its size in base units, the sorted powers of its base units, and whether it is metric.

    The result of a conversion between metric and other units is usually rounded in an answer.
    """

    size: Fraction
    powers: tuple[tuple[str, int], ...]
    metric: bool = True


_PREFIXES = {
    name: Fraction(10) ** power
    for names, power in {
        "T tera": 12,
        "G giga": 9,
        "M mega": 6,
        "k K kilo": 3,  # there is no prefix K, so Kg can only mean kg
        "c centi": -2,
        "d deci": -1,
        "m milli": -3,
        "µ μ u micro": -6,
        "n nano": -9,
        "p pico": -12,
        "f femto": -15,
    }.items()
    for name in names.split()
}
# Symbol and names of a unit: its size and its base units.
_BASES: dict[str, tuple[str, dict[str, int]]] = {
    "m meter metre": ("1", {"m": 1}),
    "s sec second": ("1", {"s": 1}),
    "g gram gramme": ("1/1000", {"kg": 1}),
    "A amp ampere": ("1", {"A": 1}),
    "K kelvin": ("1", {"K": 1}),
    "mol mole": ("1", {"mol": 1}),
    "M molar": ("1000", {"mol": 1, "m": -3}),
    "Hz hertz": ("1", {"s": -1}),
    "N newton": ("1", {"kg": 1, "m": 1, "s": -2}),
    "Pa pascal": ("1", {"kg": 1, "m": -1, "s": -2}),
    "J joule": ("1", {"kg": 1, "m": 2, "s": -2}),
    "W watt": ("1", {"kg": 1, "m": 2, "s": -3}),
    "V volt": ("1", {"kg": 1, "m": 2, "s": -3, "A": -1}),
    "Ω ohm": ("1", {"kg": 1, "m": 2, "s": -3, "A": -2}),
    "T tesla": ("1", {"kg": 1, "s": -2, "A": -1}),
    "Wb weber": ("1", {"kg": 1, "m": 2, "s": -2, "A": -1}),
    "H henry": ("1", {"kg": 1, "m": 2, "s": -2, "A": -2}),
    "L l liter litre": ("1/1000", {"m": 3}),
    "bar": ("100000", {"kg": 1, "m": -1, "s": -2}),
    "eV electronvolt": ("1", {"eV": 1}),
    "cal calorie": ("1", {"cal": 1}),
    "C coulomb": ("1", {"s": 1, "A": 1}),
    "F farad": ("1", {"kg": -1, "m": -2, "s": 4, "A": 2}),
}
# Without prefixes.
_WHOLE: dict[str, tuple[str, dict[str, int]]] = {
    "min minute": ("60", {"s": 1}),
    "h hr hour": ("3600", {"s": 1}),
    "Nm": ("1", {"kg": 1, "m": 2, "s": -2}),
    "Wh": ("3600", {"kg": 1, "m": 2, "s": -2}),
    "kWh": ("3600000", {"kg": 1, "m": 2, "s": -2}),
    "day": ("86400", {"s": 1}),
    "week wk": ("604800", {"s": 1}),
    "kilo": ("1", {"kg": 1}),
    "micron": ("1/1000000", {"m": 1}),
    "kmh kph kmph": ("5/18", {"m": 1, "s": -1}),
    "cc": ("1/1000000", {"m": 3}),
    "Å angstrom": ("1/10000000000", {"m": 1}),
    "atm atmosphere": ("1", {"atm": 1}),
    "°C celsius": ("1", {"°C": 1}),
    "°F fahrenheit": ("1", {"°F": 1}),
    "° deg degree": ("1", {"°": 1}),
    "rad radian": ("1", {"rad": 1}),
    "% percent": ("1", {"%": 1}),
    "C": ("1", {"C": 1}),  # coulomb or Celsius
    "F": ("1", {"F": 1}),  # farad or Fahrenheit
}
# Not metric.
_CUSTOMARY: dict[str, tuple[str, dict[str, int]]] = {
    "inch in inche inches": ("0.0254", {"m": 1}),
    "foot ft feet": ("0.3048", {"m": 1}),
    "yard yd": ("0.9144", {"m": 1}),
    "mile mi": ("1609.344", {"m": 1}),
    "mph": ("0.44704", {"m": 1, "s": -1}),
    "ounce oz": ("0.028349523125", {"kg": 1}),
    "pound lb": ("0.45359237", {"kg": 1}),
    "ton": ("907.18474", {"kg": 1}),
    "cup": ("0.0002365882365", {"m": 3}),
    "pint pt": ("0.000473176473", {"m": 3}),
    "quart qt": ("0.000946352946", {"m": 3}),
    "gallon gal": ("0.003785411784", {"m": 3}),
}
# Units without a fixed size in the units above.
_COUNTED: dict[str, tuple[str, dict[str, int]]] = {
    "month": ("1", {"month": 1}),
    "year yr": ("12", {"month": 1}),
    "decade": ("120", {"month": 1}),
    "century centurie centuries": ("1200", {"month": 1}),
    "dollar USD buck": ("1", {"USD": 1}),
    "cent ¢": ("1/100", {"USD": 1}),
    "euro EUR": ("1", {"EUR": 1}),
    "sterling GBP": ("1", {"GBP": 1}),
    "rupee INR rs": ("1", {"INR": 1}),
    "yen JPY": ("1", {"JPY": 1}),
    "byte B": ("1", {"byte": 1}),
}
# Names with another meaning in most texts. The science rule reads neither these nor units of counting.
_NOT_READ = frozenset(("in", "pt", "cup", "cups", "ton", "tons", "pounds", "pound"))
_POWER_WORDS = {"square": 2, "squared": 2, "cubic": 3, "cubed": 3}
# Units of different kinds that may mean the same: a comparison between these kinds is not possible.
SPECIAL = frozenset({"eV", "cal", "atm", "°C", "°F", "°", "rad", "%", "C", "F", "K", "mol"})

_FACTOR = re.compile(
    r"(?P<name>°\s?[CF]?(?![A-Za-z])|%|[A-Za-zµμΩÅ]+)(?:\s*\^\s*\(?\s*(?P<power>-?\d)\s*\)?|(?P<bare>-?[1-9])(?!\d))?"
)
_OPERATOR = re.compile(r"\s*(?P<sign>/|\bper\b|\\cdot\b|[*·⋅]|\.(?=[A-Za-z])|-(?=[A-Z])|(?=\s))\s*")


def read_unit(text: str) -> tuple[Unit, int] | None:
    """Return the longest unit at the start of a text and its end, or None."""
    size, powers, metric = Fraction(1), dict[str, int](), True
    at = end = 0
    sign, inside, pending = 1, False, 1
    while at < len(text):
        found = _FACTOR.match(text, at)
        if found is None:
            break
        word = found["name"].replace(" ", "")
        if word in ("square", "cubic"):
            pending, at = _POWER_WORDS[word], _skip(text, found.end())
            continue
        found_end = found.end()
        if temperature := re.match(
            r"(?:°|degrees?)\s*(celsius|fahrenheit|[CF])\b", text[at:], re.IGNORECASE
        ):
            word, found_end = f"°{temperature[1][0].upper()}", at + temperature.end()
        known = _known(word)
        if known is None:
            break
        if word == "ms" and (found["power"] or found["bare"] or "").startswith("-"):
            word = "s"  # this notation is used for metres per second, never for milliseconds
            powers["m"] = powers.get("m", 0) + pending * sign
            known = _UNITS[word]
        power = int(found["power"] or found["bare"] or 1) * pending * sign
        pending = 1
        if after := re.match(r"\s+(squared|cubed)\b", text[found_end:]):
            power *= _POWER_WORDS[after[1]]
            found_end += after.end()
        size *= known.size**power
        metric = metric and known.metric
        for name, one in known.powers:
            powers[name] = powers.get(name, 0) + one * power
        end = at = found_end
        if inside and (closed := re.match(r"\s*\)", text[at:])):
            end = at = at + closed.end()
            inside, sign = False, 1
        operator = _OPERATOR.match(text, at)
        if operator is None:
            break
        at = operator.end()
        if operator["sign"] in ("/", "per"):
            sign = -1
            if at < len(text) and text[at] == "(":
                inside, at = True, at + 1
    if end == 0 or inside:
        return None
    return Unit(size, tuple(sorted((n, p) for n, p in powers.items() if p)), metric), end


def _skip(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())


def unit_named(name: str) -> Unit | None:
    """Return the unit with exactly this name."""
    return _UNITS.get(name)


def _known(word: str) -> Unit | None:
    name = word if word in _UNITS or len(word) <= 3 else word.casefold()
    unit = _UNITS.get(name)
    counted = unit is not None and unit.powers[0][0] in _COUNTED_KINDS
    return None if counted or name in _NOT_READ else unit


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for table, prefixed in (
        (_WHOLE, False),
        (_BASES, True),
        (_CUSTOMARY, False),
        (_COUNTED, False),
    ):
        for names, (size, powers) in table.items():
            symbol, *words = names.split()
            if symbol.isalpha() and len(symbol) > 3:
                words = [symbol, *words]
            known = tuple(sorted(powers.items()))
            for prefix, factor in {"": Fraction(1), **(_PREFIXES if prefixed else {})}.items():
                unit = Unit(Fraction(size) * factor, known, table is not _CUSTOMARY)
                if len(prefix) > 1:  # a prefix that is a word
                    units.update({f"{prefix}{word}{s}": unit for word in words for s in ("", "s")})
                    continue
                for name in (symbol, *words) if not prefix else _symbols(names):
                    units.setdefault(f"{prefix}{name}", unit)
                    if not prefix and len(name) > 1:
                        units.setdefault(f"{name}s", unit)
    return units


def _symbols(names: str) -> list[str]:
    """Return the symbols among the names of a unit; prefixes that are symbols are combined only with these."""
    return [
        name
        for name in names.split()
        if len(name) <= 3 and name not in ("sec", "amp", "ohm", "bar")
    ]


_COUNTED_KINDS = frozenset(kind for _, powers in _COUNTED.values() for kind in powers)
_UNITS = _table()
