"""Classifies formulas as computed numbers or tasks, and interprets the words and signs next to a number."""

from dataclasses import dataclass
from fractions import Fraction

from stillhouse.verify.formula.node import Node, num

_ONES = {
    word: value
    for value, word in enumerate(
        str.split(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen "
            "eighteen nineteen"
        )
    )
}
_TENS = {
    word: 10 * (value + 2)
    for value, word in enumerate(str.split("twenty thirty forty fifty sixty seventy eighty ninety"))
}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FACTORS = {
    **_LARGE,
    "hundred": 100,
    "dozen": 12,
    "k": 1000,
    "lakh": 10**5,
    "crore": 10**7,
    "tens": 10,
}
_CURRENCIES = frozenset(str.split("dollar euro pound sterling yen rupee USD EUR GBP"))
_PARTS = {
    word: 3 + value
    for value, word in enumerate(str.split("third fourth fifth sixth seventh eighth ninth tenth"))
} | {"half": 2, "halve": 2, "quarter": 4}
_NUMBER_WORDS = frozenset({*_ONES, *_TENS, "point"})
MAX_NUMBER_WORDS = 8
_NO_SOLUTION = frozenset(
    (
        "no solution",
        "no solutions",
        "empty set",
        "there is no solution",
        "there are no solutions",
        "the empty set",
        "none",
    )
)
_REALS = frozenset(
    (
        "all real numbers",
        "all reals",
        "real numbers",
        "the real numbers",
        "all real x",
        "any real number",
    )
)
_UNDEFINED = frozenset(("undefined", "not defined"))
_NO_VALUE = frozenset(("does not exist", "dne"))


@dataclass(frozen=True, slots=True)
class SplitQuantity:
    """A formula separated from the signs and words next to it: a percent sign, a degree sign, a unit or noun."""

    core: Node
    percent: bool = False
    degree: bool = False
    unit: str = ""


def quantity(node: Node) -> SplitQuantity:
    """Separate a formula from the signs and words next to it; a multiplier in words (5 million) becomes a factor."""
    percent = degree = False
    unit = ""
    while node.op in ("percent", "degree", "unit") or (
        node.op == "neg" and node.args[0].op in ("percent", "degree", "unit")
    ):
        if node.op == "neg":
            inner = node.args[0]
            node = Node(inner.op, (Node("neg", inner.args),), inner.name)
        if node.op == "percent":
            percent = True
        elif node.op == "degree":
            degree = True
        else:
            unit = f"{node.name} {unit}".strip()
        node = node.args[0]
    factor, rest = _factor(unit)
    if factor:
        value = _plain_value(node)
        core = Node("mul", (num(factor), node)) if value is None else num(value * factor)
        return SplitQuantity(core, percent, degree, rest)
    return SplitQuantity(node, percent, degree, unit)


def _factor(unit: str) -> tuple[int | None, str]:
    """Return the multiplier at the start of a unit, ignoring a currency before it, and the rest of the unit."""
    words = unit.split()
    place = 0
    while place < len(words) and words[place] in _CURRENCIES:
        place += 1
    word = words[place].lower() if place < len(words) else ""
    factor = _FACTORS.get(word) or _FACTORS.get(word.removesuffix("s") if len(word) > 3 else "")
    return factor, " ".join(words[:place] + words[place + 1 :]) if factor else unit


def _plain_value(node: Node) -> Fraction | None:
    """Return the value of a plain number, or None for another formula."""
    if node.op == "num":
        return node.value
    values = [_plain_value(arg) for arg in node.args]
    known = [value for value in values if value is not None]
    if len(known) != len(values) or node.op not in ("neg", "div", "mixed"):
        return None
    if node.op == "neg":
        return -known[0]
    if node.op == "mixed":
        return known[0] + known[1]
    return known[0] / known[1] if known[1] else None


def is_plain_number(node: Node) -> bool:
    """Return whether a formula is a plain number: an integer, decimal, fraction or mixed number."""
    if node.op == "num":
        return True
    if node.op in ("neg", "percent", "degree", "unit", "mod"):
        return is_plain_number(node.args[0])
    if node.op == "based":
        return True
    return node.op == "mixed" or (node.op == "div" and all(map(_is_whole, node.args)))


def is_literal(node: Node) -> bool:
    """Return whether a formula is a result and not a task: a plain number, a root, a power, or a multiple of these.

    A sum or a product of two numbers is a task, as is the value of a function.
    """
    if is_plain_number(node):
        return True
    if node.op in ("neg", "percent", "degree", "unit", "mod"):
        return is_literal(node.args[0])
    if node.op in ("pow", "fact"):
        return all(map(is_plain_number, node.args))
    if node.op == "fn":
        return node.name in ("sqrt", "binom") and all(map(is_plain_number, node.args))
    if node.op == "div":
        return all(is_plain_number(arg) or _is_root(arg) or arg.op == "fact" for arg in node.args)
    if node.op == "mul":
        left, right = node.args
        return is_plain_number(left) and (_is_root(right) or _is_power_of_ten(right))
    return node.op == "const"


def has_task(node: Node) -> bool:
    """Return whether a formula contains a function that is not computed: a sine, a logarithm, a factorial."""
    return any(
        (n.op == "fn" and n.name not in ("sqrt", "exp", "floor", "ceil")) or n.op == "fact"
        for n in node.walk()
    )


def _is_whole(node: Node) -> bool:
    return node.op == "num" or (node.op == "neg" and _is_whole(node.args[0]))


def _is_root(node: Node) -> bool:
    return node.op == "fn" and node.name == "sqrt" and all(map(is_plain_number, node.args))


def _is_power_of_ten(node: Node) -> bool:
    return node.op == "pow" and node.args[0] == num(10) and is_plain_number(node.args[1])


def from_words(words: str) -> Node | None:
    """Return the tree of words: a number, the empty set, all real numbers; None for other words."""
    sign = "minus " if words.strip().startswith("-") else ""
    text = " ".join((sign + words.replace("-", " ")).lower().split()).strip(".")
    if text in _NO_SOLUTION:
        return Node("empty")
    if text in _REALS:
        return Node("reals")
    if text in _UNDEFINED:
        return Node("word", name="undefined")
    if text in _NO_VALUE:
        return Node("word", name="does not exist")
    if text == "half":
        return num(Fraction(1, 2))
    if text in ("infinity", "positive infinity"):
        return Node("const", name="infty")
    return _number_in_words(text.split()) or _part_in_words(text.split())


def counted_in_words(words: str) -> Node | None:
    """Return a number in words with the counted noun (five apples) as a quantity; None for other words."""
    parts = words.split()
    for end in range(min(len(parts) - 1, MAX_NUMBER_WORDS), 0, -1):
        number = from_words(" ".join(parts[:end]))
        if number is not None and number.op == "num":
            if not _NUMBER_WORDS.isdisjoint(" ".join(parts[end:]).lower().split()):
                return None  # "five to six" is a range
            return Node("unit", (number,), " ".join(parts[end:]))
    return None


def _part_in_words(words: list[str]) -> Node | None:
    """Return `two thirds`, `one half` and `five and a half` as numbers."""
    part = _PARTS.get(words[-1].removesuffix("s")) if len(words) > 1 else None
    if part is None:
        return None
    if words[0] in ("minus", "negative"):
        positive = _part_in_words(words[1:])
        return positive and num(-(positive.value or 0))
    if words[-2] == "a" and len(words) > 3 and words[-3] == "and":
        whole = _number_in_words(words[:-3])
        return whole and num((whole.value or 0) + Fraction(1, part))
    over = num(1) if words[:-1] == ["a"] else _number_in_words(words[:-1])
    return over and num((over.value or Fraction(0)) / part)


def _number_in_words(words: list[str]) -> Node | None:
    negative = words[:1] in (["minus"], ["negative"])
    words = [word for word in words[negative:] if word != "and"]
    total = group = 0
    last_small = False
    if not words:
        return None
    for word in words:
        if word in _ONES or word in _TENS:
            small = _ONES.get(word, _TENS.get(word, 0))
            if last_small and not (group % 100 in range(20, 100, 10) and 0 < small < 10):
                return None
            group += small
            last_small = True
        elif word == "hundred" and 0 < group < 100:
            group *= 100
            last_small = False
        elif word in _LARGE and group:
            total, group, last_small = total + group * _LARGE[word], 0, False
        else:
            return None
    value = Fraction(total + group)
    return num(-value if negative else value)
