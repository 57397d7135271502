"""Normalises sets of real numbers for the comparison: intervals, unions, and inequalities in one variable."""

from dataclasses import dataclass
from typing import Any

from stillhouse.verify.formula.equal import equal_values
from stillhouse.verify.formula.errors import FormulaError, UndefinedError, UnreadError
from stillhouse.verify.formula.evaluate import DIGITS, Value, context, evaluate
from stillhouse.verify.formula.node import Node

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Piece:
    """An interval of the real line; infinite ends are open."""

    low: Value
    high: Value
    low_closed: bool
    high_closed: bool


Pieces = list[Piece]


def unlike_points(node: Node) -> bool:
    """Return whether a tree can only mean a set of real numbers and not a point."""
    if node.op in ("setop", "reals", "builder"):
        return True
    if node.op == "group":
        return node.name in ("[)", "(]", ")(", "][") or (
            len(node.args) == 2
            and any(n.op == "const" and n.name == "infty" for arg in node.args for n in arg.walk())
        )
    if node.op == "rel":
        return set(node.name.split()) & {"<", ">", "<=", ">=", "!="} != set() or (
            node.name == "in" and unlike_points(node.args[1])
        )
    if node.op == "list":
        return any(unlike_points(arg) for arg in node.args)
    return False


def real_set(node: Node) -> tuple[Pieces, str] | None:
    """Return a set of real numbers as sorted disjoint intervals, with the name of its variable or "".

    The result is None if the tree is not such a set, or if an end contains a variable.
    """
    try:
        return _real_set(node)
    except (UnreadError, UndefinedError):
        return None


def _real_set(node: Node) -> tuple[Pieces, str] | None:
    mp = context(DIGITS)
    if node.op == "empty":
        return [], ""
    if node.op == "reals":
        return [Piece(-mp.inf, mp.inf, False, False)], ""
    if node.op == "group" and len(node.args) == 2 and node.name in ("()", "[]", "[)", "(]"):
        low, high = (_end(arg) for arg in node.args)
        if not _before(low, high) and not (node.name == "[]" and equal_values(low, high)):
            return None  # (5, 3) is a point and not an empty interval
        return _ordered([Piece(low, high, node.name[0] == "[", node.name[1] == "]")]), ""
    if node.op == "group" and node.name == "{}":
        ends = [_end(arg) for arg in node.args]
        return _ordered([Piece(end, end, True, True) for end in ends]), ""
    if node.op == "rel":
        return _relation(node)
    if node.op == "setop":
        parts = [_real_set(arg) for arg in node.args]
        if parts[0] is None or parts[1] is None:
            return None
        left, right = parts[0][0], parts[1][0]
        if node.name == "cup":
            return _ordered(left + right), ""
        return _intersection(left, right if node.name == "cap" else _complement(right)), ""
    if node.op == "builder" and node.args[0].op in ("sym", "rel"):
        found = _real_set(node.args[1])
        element = node.args[0] if node.args[0].op == "sym" else node.args[0].args[0]
        return (found[0], "") if found and found[1] == element.name else None
    if node.op == "list":
        return _several(node)
    return None


def _several(node: Node) -> tuple[Pieces, str] | None:
    found = [_real_set(arg) for arg in node.args]
    sets = [part for part in found if part is not None]
    names = {name for _, name in sets}
    if len(sets) != len(found) or len(names) != 1:
        return None
    name = names.pop()
    union: Pieces = _ordered([piece for pieces, _ in sets for piece in pieces])
    if node.name == "or" or not name:
        return union, name
    common = sets[0][0]
    for pieces, _ in sets[1:]:
        common = _intersection(common, pieces)
    return common or union, name


def _relation(node: Node) -> tuple[Pieces, str] | None:
    mp = context(DIGITS)
    sides, relations = list(node.args), node.name.split()
    if node.name == "in" and sides[0].op == "sym":
        found = _real_set(sides[1])
        return None if found is None else (found[0], sides[0].name)
    if len(sides) == 2 and sides[1].op == "sym" and sides[1].name not in ("i",):
        sides, relations = sides[::-1], [_FLIPPED.get(relations[0], relations[0])]
    if len(sides) == 2 and sides[0].op == "sym":
        end = _end(sides[1])
        name, relation = sides[0].name, relations[0]
        if relation == "=":
            return [Piece(end, end, True, True)], name
        if relation == "!=":
            return [Piece(-mp.inf, end, False, False), Piece(end, mp.inf, False, False)], name
        if relation in ("<", "<="):
            return [Piece(-mp.inf, end, False, relation == "<=")], name
        if relation in (">", ">="):
            return [Piece(end, mp.inf, relation == ">=", False)], name
        return None
    if len(sides) == 3 and sides[1].op == "sym":
        if set(relations) <= {">", ">="}:
            sides, relations = sides[::-1], [_FLIPPED[relation] for relation in reversed(relations)]
        if set(relations) <= {"<", "<="}:
            low, high = _end(sides[0]), _end(sides[2])
            return _ordered([Piece(low, high, relations[0] == "<=", relations[1] == "<=")]), sides[
                1
            ].name
    return None


def _end(node: Node) -> Any:
    if node.op in ("rel", "list", "group", "sym"):
        raise UnreadError("no number")
    value = evaluate(node)
    if isinstance(value, tuple) or hasattr(value, "_mpc_"):
        raise UnreadError("no real number")
    return value


def _before(left: Value, right: Value) -> bool:
    mp = context(DIGITS)
    a, b = (
        mp.mpf(v.numerator) / v.denominator if hasattr(v, "numerator") else v for v in (left, right)
    )
    return bool(a < b) and not equal_values(left, right)


def _ordered(pieces: Pieces) -> Pieces:
    """Return disjoint intervals that do not touch, sorted from left to right."""
    mp = context(DIGITS)
    kept = [
        piece
        for piece in pieces
        if _before(piece.low, piece.high)
        or (equal_values(piece.low, piece.high) and piece.low_closed and piece.high_closed)
    ]
    kept.sort(
        key=lambda p: (
            mp.mpf(p.low.numerator) / p.low.denominator if hasattr(p.low, "numerator") else p.low,
            not p.low_closed,
        )
    )
    result: Pieces = []
    for piece in kept:
        last = result[-1] if result else None
        touching = last is not None and (
            _before(piece.low, last.high)
            or (equal_values(piece.low, last.high) and (piece.low_closed or last.high_closed))
        )
        if last is None or not touching:
            result.append(piece)
        elif _before(last.high, piece.high):
            result[-1] = Piece(last.low, piece.high, last.low_closed, piece.high_closed)
        elif equal_values(last.high, piece.high):
            result[-1] = Piece(
                last.low, last.high, last.low_closed, last.high_closed or piece.high_closed
            )
    return result


def _complement(pieces: Pieces) -> Pieces:
    mp = context(DIGITS)
    result: Pieces = []
    low, closed = -mp.inf, False
    for piece in pieces:
        result.append(Piece(low, piece.low, closed, not piece.low_closed))
        low, closed = piece.high, not piece.high_closed
    result.append(Piece(low, mp.inf, closed, False))
    return _ordered(
        [
            p
            for p in result
            if _before(p.low, p.high)
            or (equal_values(p.low, p.high) and p.low_closed and p.high_closed)
        ]
    )


def _intersection(left: Pieces, right: Pieces) -> Pieces:
    found: Pieces = []
    for a in left:
        for b in right:
            low, low_closed = (
                (a.low, a.low_closed) if _before(b.low, a.low) else (b.low, b.low_closed)
            )
            if equal_values(a.low, b.low):
                low_closed = a.low_closed and b.low_closed
            high, high_closed = (
                (a.high, a.high_closed) if _before(a.high, b.high) else (b.high, b.high_closed)
            )
            if equal_values(a.high, b.high):
                high_closed = a.high_closed and b.high_closed
            found.append(Piece(low, high, low_closed, high_closed))
    return _ordered(found)


def same_set(left: Pieces, right: Pieces) -> bool:
    """Return whether two sets of real numbers are equal."""
    return len(left) == len(right) and all(
        equal_values(a.low, b.low)
        and equal_values(a.high, b.high)
        and (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        for a, b in zip(left, right, strict=True)
    )


__all__ = ["FormulaError", "Piece", "Pieces", "real_set", "same_set", "unlike_points"]
