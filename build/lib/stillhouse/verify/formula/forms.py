"""Normalises trees for the comparison: words become numbers, dots are expanded, plus-or-minus becomes two values."""

from stillhouse.verify.formula.literal import from_words
from stillhouse.verify.formula.node import Node, num
from stillhouse.verify.formula.same_quantity import SCALARS

MAX_RANGE = 1000  # items of a list that is abbreviated with dots
_CONSTANTS = frozenset(str.split("c K k C_1 c_1 C_0"))


def as_point(node: Node, other: Node) -> Node:
    """Return `(x, y) = (1, 2)` as a point, or as two named values if the other tree has named values."""
    if node.op == "mul" and node.args[0].op == "sym" and node.args[1].op == "group":
        return (
            node.args[1] if node.args[0].name.isupper() and other.op == "group" else node
        )  # P(3, 4)
    if node.op != "rel" or node.name != "=" or {arg.op for arg in node.args} != {"group"}:
        return node
    names, values = (arg.args for arg in node.args)
    if len(names) != len(values) or any(name.op != "sym" for name in names):
        return node
    if other.op == "group":
        return node.args[1]
    pairs = zip(names, values, strict=True)
    return Node("list", tuple(Node("rel", pair, "=") for pair in pairs), ",")


def resolved(node: Node) -> Node:
    """Return a tree in which words for numbers and sets are parsed, and dots between integers are expanded."""
    if node.op == "word":
        return from_words(node.name) or node
    if node.op in ("list", "group") and any(arg.op == "dots" for arg in node.args):
        return _without_dots(node)
    if node.op in ("list", "group", "rel"):
        return Node(node.op, tuple(resolved(arg) for arg in node.args), node.name)
    return node


def _without_dots(node: Node) -> Node:
    place = [arg.op for arg in node.args].index("dots")
    before, after = node.args[:place], node.args[place + 1 :]
    values = [arg.value for arg in (*before, *after)]
    if (
        not before
        or len(after) != 1
        or None in values
        or any(v is not None and v.denominator != 1 for v in values)
    ):
        return node
    whole = [int(v) for v in values if v is not None]
    step = whole[1] - whole[0] if len(before) > 1 else 1
    if (
        step == 0
        or (whole[-1] - whole[0]) % step
        or not 0 < (whole[-1] - whole[0]) // step < MAX_RANGE
    ):
        return node
    full = range(whole[0], whole[-1] + (1 if step > 0 else -1), step)
    if list(full[: len(before)]) != whole[:-1]:
        return node
    return Node(node.op, tuple(num(value) for value in full), node.name)


def spread(node: Node) -> Node:
    """Return a tree with a plus-or-minus at any position as the list of both values."""
    if (
        node.op == "rel"
        and node.name.split()[-1:] == ["="]
        and any(n.op == "pm" for n in node.args[-1].walk())
    ):
        values = _both_signs(node.args[-1])
        return Node(
            "list",
            tuple(Node("rel", (*node.args[:-1], value), node.name) for value in values),
            "or",
        )
    if node.op in ("list", "group") and node.name in ("or", "and", ",", "{}"):
        items: list[Node] = []
        for arg in node.args:
            both = spread(arg)
            items.extend(both.args if both.op == "list" and arg.op != "list" else [arg])
        return Node(node.op, tuple(items), node.name)
    if node.op in SCALARS and any(inner.op == "pm" for inner in node.walk()):
        return Node("list", tuple(_both_signs(node)), "or")
    return node


def _both_signs(node: Node) -> list[Node]:
    return [_signed(node, upper) for upper in (True, False)]


def _signed(node: Node, upper: bool) -> Node:
    args = tuple(_signed(arg, upper) for arg in node.args)
    if node.op != "pm":
        return Node(node.op, args, node.name, node.value, node.digits, node.places)
    last = args[-1] if upper == (node.name == "pm") else Node("neg", (args[-1],))
    return last if len(args) == 1 else Node("add", (args[0], last))


def with_name(node: Node, old: str, new: str) -> Node:
    """Return a tree with one variable renamed.

    Args:
        node: the tree.
        old: the name of the variable.
        new: its new name.
    """
    name = new if node.op == "sym" and node.name == old else node.name
    args = tuple(with_name(arg, old, new) for arg in node.args)
    return Node(node.op, args, name, node.value, node.digits, node.places)


def with_constant(reference: Node, answer: Node) -> Node:
    """Return an answer in which the constant of integration has the reference's name: `+ C` for `+ c`."""
    sums = [node for node in reference.walk() if node.op == "add"]
    added = any(arg == Node("sym", name="C") for node in sums for arg in node.args)
    names = (answer.symbols() - reference.symbols()) & _CONSTANTS
    if not added or "C" in answer.symbols() or len(names) != 1:
        return answer
    return with_name(answer, names.pop(), "C")


def items_of(node: Node) -> list[Node]:
    """Return the items of a list or group, or of the set that a variable is in; any other tree is one item."""
    if node.op == "list" or node.op == "group":
        return list(node.args)
    if (
        node.op == "rel"
        and node.name == "in"
        and node.args[1].op == "group"
        and node.args[1].name == "{}"
    ):
        return list(node.args[1].args)
    return [node]
