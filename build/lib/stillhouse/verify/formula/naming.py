"""Decides whether the left side of an equation names a value or is a side of an equation between variables."""

import re

from stillhouse.verify.formula.errors import UnreadError
from stillhouse.verify.formula.node import Node


def is_equation(node: Node) -> bool:
    """Return whether a tree is an equation with a sum of multiples or powers of variables, such as 2x + 3y = 12."""
    if node.op != "rel" or node.name != "=" or node.args[0].op != "add":
        return False
    left = node.args[0]
    terms = [arg.args[0] if arg.op == "neg" else arg for arg in _terms(left)]
    return len(left.symbols()) > 1 and any(term.op != "sym" for term in terms)


def _terms(node: Node) -> list[Node]:
    return [term for arg in node.args for term in _terms(arg)] if node.op == "add" else [node]


def values_by_name(items: list[Node]) -> dict[str, Node] | None:
    """Return the values of a list of equations by name; None if a name is missing or has two values."""
    values: dict[str, Node] = {}
    for item in items:
        if item.op != "rel" or set(item.name.split()) - {"=", "~"} or item.args[0].op != "sym":
            return None
        values[item.args[0].name] = item.args[-1]
    bases = {name.partition("_")[0] for name in values}
    roots = len(bases) == 1 and any("_" in name for name in values)
    return values if len(values) == len(items) > 1 and not roots else None


def mixed_names(items: list[Node]) -> bool:
    """Return whether all items have names, one of them twice with other names: neither a list of roots nor a point."""
    names = [item.args[0].name for item in items if item.op == "rel" and item.args[0].op == "sym"]
    return len(names) == len(items) and 1 < len(set(names)) < len(names)


def other_names(left: list[Node], right: list[Node]) -> bool:
    """Return whether both lists name their values and no name is in both."""
    names = [
        {
            item.args[0].name.partition("_")[0]
            for item in items
            if item.op == "rel" and item.args[0].op == "sym"
        }
        for items in (left, right)
    ]
    return bool(names[0] and names[1]) and not names[0] & names[1]


def value_of(item: Node) -> Node:
    """Return the value of an item `x = 3` or `x_1 = 3` of a list."""
    if item.op == "rel" and not set(item.name.split()) - {"=", "~"} and item.args[0].op == "sym":
        return item.args[-1]
    return item


def is_name(node: Node) -> bool:
    """Return whether a tree is the name of a value: a variable, a function of variables, a product of letters."""
    return (
        node.op == "sym"
        or (node.op == "fn" and all(arg.op == "sym" or arg.op == "num" for arg in node.args))
        or (node.op == "mul" and all(arg.op == "sym" for arg in node.args))
    )


def names_value(node: Node) -> bool:
    """Return whether the left side of an equation only names its right side."""
    if node.op == "blank" or not node.symbols() or is_name(node):
        return True
    if node.op in ("abs", "fn", "div", "pow", "group"):
        return all(arg.op == "num" or names_value(arg) for arg in node.args) and node.op != "pow"
    return (
        node.op == "mul" and node.args[0].op == "sym" and node.args[0].name[:1].isupper()
    )  # P(X = 2)


def same_name(reference: Node, answer: Node) -> bool:
    """Return whether two names are the same; y may name any function.

    Raises:
        UnreadError: a name is in words.
    """
    if reference == answer:
        return True
    names = {reference.name, answer.name}
    if reference.op != answer.op and "y" in names:
        return True  # y names f(x)
    if reference.op == answer.op == "sym" and any(len(name) > 1 and " " in name for name in names):
        raise UnreadError(f"{answer.name!r} for {reference.name!r}")
    return False


def declares_integer(note: str, tree: Node) -> bool:
    """Return whether a condition only declares that a variable of the statement is an integer."""
    letters = set(re.findall(r"(?<![A-Za-z\\{])[a-z](?![A-Za-z])", note)) - {"a"}
    return (
        ("\\mathbb{Z}" in note or "integer" in note) and bool(letters) and letters <= tree.symbols()
    )


def result_sides(node: Node) -> list[Node] | None:
    """Return the sides of an equation after a name on its left, or None for another relation."""
    if node.op != "rel":
        return [node]
    if set(node.name.split()) - {"=", "~"}:
        return list(node.args[1:]) if node.name == "in" and node.args[1].op == "group" else None
    return [node.args[-1]]
