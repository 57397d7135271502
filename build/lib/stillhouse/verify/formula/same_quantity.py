"""Compares two numbers or formulas together with their units, percent and degree signs, and bases."""

from fractions import Fraction

from stillhouse.verify.formula.equal import rounds_to, same_value
from stillhouse.verify.formula.errors import UndefinedError, UnreadError
from stillhouse.verify.formula.evaluate import EVALUATED, evaluate
from stillhouse.verify.formula.literal import (
    SplitQuantity,
    has_task,
    is_literal,
    is_plain_number,
    quantity,
)
from stillhouse.verify.formula.node import Node, num
from stillhouse.verify.formula.words import counted, dimension, same_words

SCALARS = frozenset(
    str.split(
        "num sym const add mul div neg pm pow mixed fact fn abs percent degree unit based mod compound ratio matrix"
    )
)


def consistent(answer: Node) -> bool:
    """Return whether all sides of an equation that are numbers are equal: `5 = 7` is not an answer."""
    if answer.op == "list":
        return all(map(consistent, answer.args))
    if answer.op != "rel":
        return True
    relations = answer.name.split()
    exact: Node | None = None
    for place, side in enumerate(answer.args):
        number = as_number(side)
        if number is None:
            continue
        about = place > 0 and relations[place - 1] == "~"
        if exact is None:
            exact = None if about else number
        elif (about and not _about(exact, number)) or (
            place and relations[place - 1] == "=" and not _same_amount(exact, number)
        ):
            return False
    return True


def _about(exact: Node, rounded: Node) -> bool:
    """Return whether a number is another one rounded to its last place; an integer may be rounded to tens and so on."""
    a, b = quantity(exact), quantity(rounded)
    if b.core.op != "num" or b.core.value is None or a.unit != b.unit or a.percent != b.percent:
        return True
    places = b.core.places or (len(str(b.core.value).rstrip("0")) - len(str(b.core.value)))
    try:
        return rounds_to(evaluate(a.core), b.core.value, places)
    except (UndefinedError, UnreadError):
        return False


def as_number(node: Node) -> Node | None:
    """Return a formula that is one number, with its unit and signs; None for any other formula."""
    if node.op not in SCALARS or node.op in ("ratio", "matrix", "compound") or node.symbols():
        return None
    named = any(inner.op == "fn" and inner.name not in EVALUATED for inner in node.walk())
    return None if named else node  # f(3) is only a name


def _same_amount(left: Node, right: Node) -> bool:
    """Return whether two sides of an equation are equal after conversion: 5% = 0.05, 2 hours = 120 minutes."""
    a, b = quantity(left), quantity(right)
    if same_value(a.core, b.core) or _rounds_to(a.core, b.core):
        return True
    if a.percent != b.percent:
        return (
            same_value(left, right)
            or same_value(_times(a.core, 100), b.core)
            or same_value(a.core, _times(b.core, 100))
        )
    if a.unit and b.unit and a.unit != b.unit:
        first, second = dimension(a.unit), dimension(b.unit)
        if first is None or second is None or first[0] != second[0]:
            return False
        return same_value(_times(a.core, first[1]), _times(b.core, second[1]))
    if a.degree != b.degree:
        return same_value(
            Node("degree", (a.core,)) if a.degree else a.core,
            Node("degree", (b.core,)) if b.degree else b.core,
        )
    return False


def _rounds_to(exact: Node, rounded: Node) -> bool:
    """Return whether a decimal with at least two places is another number rounded: 10/3 = 3.33 is accepted."""
    if rounded.op != "num" or rounded.places < 2:
        return False
    try:
        return rounds_to(evaluate(exact), rounded.value, rounded.places)
    except (UndefinedError, UnreadError):
        return False


def _times(node: Node, factor: Fraction | int) -> Node:
    return Node("mul", (num(factor), node))


def same_quantity(reference: Node, answer: Node, top: bool) -> bool:
    """Return whether two numbers or formulas are the same.

    Args:
        reference: the right result.
        answer: the answer's result.
        top: whether they are the whole result, so that a plain number must be computed.

    Raises:
        UnreadError: they differ in an unknown word or unit.
    """
    if reference.op == "ratio" or answer.op == "ratio":
        return _ratios(reference, answer)
    if reference.op == "compound" or answer.op == "compound":
        reference, answer = (_one_unit(node) for node in (reference, answer))
    expected, given = quantity(reference), quantity(answer)
    if expected.core.op == "mod" or given.core.op == "mod":
        return _residues(expected.core, given.core)
    if expected.core.op == "based" or given.core.op == "based":
        if expected.unit or given.unit or expected.degree or given.degree:
            return False
        return _digits(expected.core, given.core)
    if expected.degree != given.degree and not (expected.unit or given.unit):
        # A degree sign is not a unit if the other side is an angle in radians.
        degrees, other = (expected, given) if expected.degree else (given, expected)
        if not is_plain_number(other.core) and same_value(
            Node("degree", (degrees.core,)), other.core
        ):
            return True
    if top and not expected.core.symbols() and not _worked_out(expected.core, given.core):
        return False
    scale = _unit_scale(expected, given)
    if scale is None:
        return False
    for factor in scale:
        core = given.core if factor == 1 else _times(given.core, factor)
        if same_value(expected.core, core):
            return bool(expected.unit and given.unit) or not given.unit or counted(given.unit)
    return False


def _worked_out(expected: Node, given: Node) -> bool:
    """Return whether a value is written as a result, and not as a task whose result is the reference."""
    if is_plain_number(expected):
        return is_literal(given)
    return has_task(expected) or not has_task(given)


def _unit_scale(expected: SplitQuantity, given: SplitQuantity) -> list[Fraction] | None:
    """Return the factors by which the given number may be multiplied, or None if its unit differs."""
    factor = Fraction(1)
    left, right = ("degree" if q.degree and not q.unit else q.unit for q in (expected, given))
    if left and right and left != right:
        first, second = dimension(left), dimension(right)
        if first and second:
            if first[0] != second[0]:
                return None
            factor = second[1] / first[1]
        else:
            same = same_words(left, right)
            if same is False:
                return None
            if same is None:
                if not same_value(expected.core, given.core):
                    return None
                raise UnreadError(f"{right!r} beside {left!r}")
    elif right and not left and not counted(right):
        return None
    elif left and not right and not counted(left):
        if same_value(expected.core, given.core):
            raise UnreadError(f"{left!r} is missing")
        return None
    if expected.percent == given.percent:
        return [factor]
    if expected.percent:
        return [factor, factor * 100]
    return [factor, factor / 100] if _above_one(expected.core) else [factor / 100]


def _above_one(node: Node) -> bool:
    if node.symbols():
        return True
    try:
        value = evaluate(node)
    except UndefinedError:
        return False
    return not isinstance(value, tuple) and bool(abs(value) > 1)


def _one_unit(node: Node) -> Node:
    """Return a quantity with several units (1 hour 30 minutes) converted to the last of them."""
    if node.op != "compound":
        return node
    parts = [(arg.args[0], dimension(arg.name)) for arg in node.args]
    last = parts[-1][1]
    if last is None or any(found is None or found[0] != last[0] for _, found in parts):
        raise UnreadError("quantities in units that are not known")
    total = parts[-1][0]
    for number, found in parts[:-1]:
        assert found is not None
        total = Node("add", (_times(number, found[1] / last[1]), total))
    value = evaluate(total)
    return Node("unit", (num(value) if isinstance(value, Fraction) else total,), node.args[-1].name)


def _ratios(reference: Node, answer: Node) -> bool:
    """Compare ratios by value; a time of day is a ratio whose last part has words."""
    parts = [list(node.args) if node.op == "ratio" else [node] for node in (reference, answer)]
    ends = [quantity(items[-1]) for items in parts]
    if ends[0].unit or ends[1].unit:
        if len(parts[0]) != len(parts[1]):
            return False
        same = all(
            same_value(quantity(a).core, quantity(b).core) for a, b in zip(*parts, strict=True)
        )
        if same and not (ends[0].unit and ends[1].unit):
            raise UnreadError(f"{ends[1].unit!r} for {ends[0].unit!r}")
        return same and bool(same_words(_clock(ends[0].unit), _clock(ends[1].unit)))
    if 1 in map(len, parts):
        return all(len(items) <= 2 for items in parts) and same_value(
            *(Node("div", tuple(items)) if len(items) == 2 else items[0] for items in parts)
        )
    if len(parts[0]) != len(parts[1]):
        return False
    return all(
        same_value(Node("mul", (a, parts[1][0])), Node("mul", (b, parts[0][0])))
        for a, b in zip(*parts, strict=True)
    ) and not same_value(parts[1][0], num(0))


def _clock(words: str) -> str:
    return words.lower().replace(".", "").replace(" ", "")


def _residues(reference: Node, answer: Node) -> bool:
    moduli = [node.args[1] for node in (reference, answer) if node.op == "mod"]
    residues = [node.args[0] if node.op == "mod" else node for node in (reference, answer)]
    if len(moduli) == 2 and not same_value(moduli[0], moduli[1]):
        return False
    return same_value(residues[0], residues[1])


def _digits(reference: Node, answer: Node) -> bool:
    """Compare numbers of which at least one has a base; a missing base counts as equal, another base is wrong."""
    bases = [node.args[1] for node in (reference, answer) if node.op == "based"]
    digits = [node.args[0] if node.op == "based" else node for node in (reference, answer)]
    if len(bases) == 2 and bases[0].value != bases[1].value:
        return False
    if reference.op == "num":
        return False  # only the answer has a base, which makes it another number
    return digits[0].op == digits[1].op == "num" and digits[0].value == digits[1].value
