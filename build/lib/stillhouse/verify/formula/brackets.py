"""Builds the tree of a pair of brackets from its content."""

from stillhouse.verify.formula.errors import UnreadError
from stillhouse.verify.formula.node import Node


def bracketed(opening: str, closing: str, tree: Node) -> Node:
    """Return the tree of a pair of brackets: its single content, an ordered tuple or interval, or a set.

    Args:
        opening: the opening bracket.
        closing: the closing bracket.
        tree: the tree of the content.

    Raises:
        UnreadError: the brackets do not match.
    """
    if opening in ("floor", "ceil"):
        if closing != opening:
            raise UnreadError(f"{opening} that is not closed")
        return Node("fn", (tree,), opening)
    if opening == "\\{":
        if closing != "\\}":
            raise UnreadError("a set that is not closed")
        if tree.op == "builder":
            return tree
        return Node("group", tree.args if tree.op == "list" else (tree,), "{}")
    if opening == "{" or closing == "}":
        if (opening, closing) != ("{", "}"):
            raise UnreadError("braces that are not closed")
        return tree
    if opening == "<" or closing == ">":
        if (opening, closing) != ("<", ">"):
            raise UnreadError("angle brackets that are not closed")
        return Node("group", tree.args if tree.op == "list" else (tree,), "<>")
    if closing not in (")", "]"):
        raise UnreadError(f"{opening} closed by {closing}")
    if tree.op != "list":
        if opening + closing in ("()", "[]"):
            return tree
        raise UnreadError(f"{opening} closed by {closing}")
    return Node("group", tree.args, opening + closing)
