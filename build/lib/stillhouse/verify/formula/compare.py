"""Compares two trees: numbers with units, equations, tuples, sets, lists, words."""

from collections.abc import Sequence

from stillhouse.verify.formula.equal import same_curve, same_value
from stillhouse.verify.formula.errors import TooComplexError, UnreadError
from stillhouse.verify.formula.forms import (
    as_point,
    items_of,
    resolved,
    spread,
    with_constant,
    with_name,
)
from stillhouse.verify.formula.literal import counted_in_words, is_plain_number
from stillhouse.verify.formula.naming import (
    declares_integer,
    is_name,
    mixed_names,
    names_value,
    other_names,
    result_sides,
    same_name,
    value_of,
    values_by_name,
)
from stillhouse.verify.formula.node import Node, num
from stillhouse.verify.formula.same_quantity import SCALARS, as_number, consistent, same_quantity
from stillhouse.verify.formula.sets import real_set, same_set, unlike_points
from stillhouse.verify.formula.words import same_words

MAX_ITEMS = 60  # items of a list that is compared in any order
MAX_PAIRS = 40_000  # number of operations in one list times the number in the other

_INTEGER_NAMES = frozenset(str.split("k n m l"))
_MIRRORED = {
    "<": ">",
    ">": "<",
    "<=": ">=",
    ">=": "<=",
    "sub": "sup",
    "sup": "sub",
    "sub=": "sup=",
    "sup=": "sub=",
}
_SYMMETRIC = frozenset(str.split("= ~ != sim cong par perp mod="))
_INEQUALITIES = frozenset(str.split("< > <= >="))


def compare(reference: Node, answer: Node, order: Sequence[str] = ()) -> bool:
    """Return whether an answer equals the reference.

    Args:
        reference: the tree of the right result.
        answer: the tree of the answer's result.
        order: the names of variables in the order of the question.

    Raises:
        UnreadError: a part cannot be compared.
        TooComplexError: a value is outside the bounds.
    """
    reference, answer = resolved(reference), resolved(answer)
    reference, answer = as_point(reference, answer), as_point(answer, reference)
    if not consistent(answer):
        return False
    answer = with_constant(reference, answer)
    return _same(reference, answer, order, top=True)


def _same(reference: Node, answer: Node, order: Sequence[str] = (), top: bool = False) -> bool:
    if reference.op == "noted" or answer.op == "noted":
        return _noted(reference, answer, order)
    if reference.op == "word" or answer.op == "word":
        return _words(reference, answer)
    reference, answer = spread(reference), spread(answer)
    integers = _integer_family(reference, answer)
    if integers is not None:
        return integers
    if reference.op == "list" or answer.op == "list":
        listed = _listed(reference, answer, order)
        if listed or not (unlike_points(reference) or unlike_points(answer)):
            return bool(listed)
    if reference.op == "rel" and answer.op == "rel" and _related(reference, answer):
        return True
    if unlike_points(reference) or unlike_points(answer) or "empty" in (reference.op, answer.op):
        sets = _as_sets(reference, answer)
        if sets is not None:
            return sets
    if reference.op == "rel" or answer.op == "rel":
        return _valued(reference, answer, order, top)
    if reference.op == "group" or answer.op == "group":
        return _grouped(reference, answer, order)
    if reference.op == answer.op == "setop":
        return _set_operation(reference, answer)
    if reference.op in SCALARS and answer.op in SCALARS:
        return same_quantity(reference, answer, top)
    return reference == answer


# Words and conditions.


def _noted(reference: Node, answer: Node, order: Sequence[str]) -> bool:
    """Compare two statements if at least one has a condition in words; the conditions must have the same text."""
    notes = [node.name if node.op == "noted" else "" for node in (reference, answer)]
    bare = [node.args[0] if node.op == "noted" else node for node in (reference, answer)]
    if notes[0] == notes[1]:
        return _same(bare[0], bare[1], order)
    integer = [declares_integer(note, tree) for note, tree in zip(notes, bare, strict=True)]
    if all(not note or declares for note, declares in zip(notes, integer, strict=True)):
        return _same(bare[0], bare[1], order) or bool(_renamed(bare[0], bare[1]))
    if not _same(bare[0], bare[1], order):
        return False
    raise UnreadError(f"{notes[1]!r} beside {notes[0]!r}")


def _words(reference: Node, answer: Node) -> bool:
    if reference.op == answer.op:
        same = same_words(reference.name, answer.name) if reference.name != answer.name else True
        return (
            reference.name.casefold().strip(". ") == answer.name.casefold().strip(". ")
            and same is not False
        )
    worded, other = (reference, answer) if reference.op == "word" else (answer, reference)
    if worded is answer and as_number(other) and (counted := counted_in_words(worded.name)):
        return same_quantity(other, counted, top=True)
    if other.op == "sym" or is_plain_number(other) or worded is reference:
        return worded.name == other.name and other.op == "sym"
    if any(character.isdigit() for character in worded.name):
        raise UnreadError(f"{worded.name!r}")
    return False


# Several values.


def _listed(reference: Node, answer: Node, order: Sequence[str]) -> bool | None:
    """Compare if at least one is a list of statements that are separated by commas, `and` or `or`."""
    left, right = items_of(reference), items_of(answer)
    named = [values_by_name(items) for items in (left, right)]
    if mixed_names(right) or other_names(left, right):
        return False
    if named[0] is not None and named[1] is not None:
        if set(named[0]) != set(named[1]):
            return False
        return all(_same(value, named[1][name]) for name, value in named[0].items())
    for names, other, given in ((named[0], answer, False), (named[1], reference, True)):
        if names is not None and other.op == "group" and other.name in ("()", "[]", "<>"):
            asked = [name for name in order if name in names]
            ordered = asked if len(asked) == len(names) else sorted(names)
            values = [names[name] for name in ordered]
            return (
                _in_order(list(other.args), values)
                if given
                else _in_order(values, list(other.args))
            )
    if named[1] is not None and ("{}" in (reference.name, answer.name) or answer.name == "or"):
        return False  # x = 1 or y = 2: not a set of roots
    left, right = ([value_of(item) for item in items] for items in (left, right))
    if any(item.op == "dots" for item in (*left, *right)):
        if not all(any(item.op == "dots" for item in items) for items in (left, right)):
            raise UnreadError("dots on one side")
        return _in_order(left, right)
    brackets = {node.name for node in (reference, answer) if node.op == "group"}
    if brackets & {"()", "[]", "<>"} and len(left) > 1:
        if "[]" in brackets and len(left) == 2:
            return False
        return _in_order(left, right)
    if brackets & {"[)", "(]", "( )"}:
        return False
    separators = {node.name for node in (reference, answer) if node.op == "list"}
    if separators == {","} and all(item.op == "word" for item in (*left, *right)):
        return _in_order(left, right)
    return _in_any_order(left, right, repeats="{}" not in brackets)


def _in_order(left: list[Node], right: list[Node]) -> bool:
    return len(left) == len(right) and all(
        a.op == b.op == "dots" or _same(a, b) for a, b in zip(left, right, strict=True)
    )


def _in_any_order(left: list[Node], right: list[Node], repeats: bool) -> bool:
    sizes = [sum(1 for item in items for _ in item.walk()) for items in (left, right)]
    if max(len(left), len(right)) > MAX_ITEMS or sizes[0] * sizes[1] > MAX_PAIRS:
        raise TooComplexError(f"more than {MAX_ITEMS} items")
    if not repeats:
        left, right = _once(left), _once(right)
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        found = next((other for other in rest if _same(item, other)), None)
        if found is None:
            return False
        rest.remove(found)
    return True


def _once(items: list[Node]) -> list[Node]:
    kept: list[Node] = []
    for item in items:
        if not any(_same(item, other) for other in kept):
            kept.append(item)
    return kept


def _integer_family(reference: Node, answer: Node) -> bool | None:
    """Compare values for every integer n with those for every integer k; None if no integer is declared."""
    bare, declared = [], False
    for node in (reference, answer):
        if node.op == "list" and node.args[-1].op == "rel" and node.args[-1].name == "in":
            member, of = node.args[-1].args
            used = any(member.name in arg.symbols() for arg in node.args[:-1])
            if member.op == "sym" and of == Node("sym", name="ZZ") and used:
                declared = True
                rest = node.args[:-1]
                bare.append(rest[0] if len(rest) == 1 else Node("list", rest, node.name))
                continue
        bare.append(node)
    if not declared:
        return None
    return _same(bare[0], bare[1]) or bool(_renamed(bare[0], bare[1]))


def _renamed(reference: Node, answer: Node) -> bool:
    names = [sorted(node.symbols() & _INTEGER_NAMES) for node in (reference, answer)]
    if len(names[0]) != 1 or len(names[1]) != 1:
        return False
    return _same(reference, with_name(answer, names[1][0], names[0][0]))


# Brackets and sets.


def _grouped(reference: Node, answer: Node, order: Sequence[str]) -> bool:
    if reference.op == answer.op == "group":
        names = {reference.name, answer.name}
        if names == {"{}"}:
            return _in_any_order(list(reference.args), list(answer.args), repeats=False)
        if (
            len(names) == 1
            or (names == {"()", "<>"})
            or (names == {"()", "[]"} and len(reference.args) > 2)
        ):
            if _in_order(list(reference.args), list(answer.args)):
                return True
            if names == {"( )"} and sorted(map(repr, reference.args)) == sorted(
                map(repr, answer.args)
            ):
                return False
        return False
    group, other, swapped = (
        (reference, answer, False) if reference.op == "group" else (answer, reference, True)
    )
    if other.op == "matrix" and group.name in ("()", "<>", "[]"):
        return _vector(other, group, swapped)
    if group.name == "{}" and len(group.args) == 1:
        return _same(other, group.args[0]) if swapped else _same(group.args[0], other)
    return False


def _vector(matrix: Node, group: Node, reference_first: bool) -> bool:
    """Compare a matrix of one column or row with the coordinates of a vector."""
    rows = [row.args for row in matrix.args]
    entries = (
        [row[0] for row in rows]
        if all(len(row) == 1 for row in rows)
        else list(rows[0])
        if len(rows) == 1
        else []
    )
    pair = (entries, list(group.args))
    return bool(entries) and (_in_order(*pair) if reference_first else _in_order(*pair[::-1]))


def _as_sets(reference: Node, answer: Node) -> bool | None:
    """Compare as sets of real numbers; None if one is not such a set."""
    left, right = real_set(reference), real_set(answer)
    if left is None or right is None:
        return None
    if left[1] and right[1] and left[1] != right[1]:
        return False
    return same_set(left[0], right[0])


def _set_operation(reference: Node, answer: Node) -> bool:
    if reference.name != answer.name:
        return False
    straight = all(_same(a, b) for a, b in zip(reference.args, answer.args, strict=True))
    crossed = reference.name != "minus" and all(
        _same(a, b) for a, b in zip(reference.args, answer.args[::-1], strict=True)
    )
    return straight or crossed


# Relations.


def _related(reference: Node, answer: Node) -> bool:
    """Return whether two relations are equal: side by side, with exchanged sides, or multiplied by a constant."""
    if _in_relation(reference, answer):
        return True
    relations = [node.name.split() for node in (reference, answer)]
    if relations[0] == relations[1] == ["="] or (
        len(relations[0]) == len(relations[1]) == 1
        and set(relations[0] + relations[1]) <= _INEQUALITIES
    ):
        sides = [*reference.args, *answer.args]
        if not all(
            side.op in SCALARS and side.op not in ("ratio", "compound", "unit") for side in sides
        ):
            return False
        if not any(side.symbols() for side in sides):
            return False  # two true equations between numbers are not the same statement
        left, right = (
            Node("add", (node.args[0], Node("neg", (node.args[1],))))
            for node in (reference, answer)
        )
        if relations[0] == ["="]:
            return same_curve(left, right, directed=False)
        if relations[0] == relations[1]:
            return same_curve(left, right, directed=True)
        if _MIRRORED.get(relations[0][0]) == relations[1][0]:
            return same_curve(left, Node("neg", (right,)), directed=True)
    return False


def _in_relation(reference: Node, answer: Node) -> bool:
    relations = answer.name.split()
    for turned in (False, True):
        sides = list(answer.args)
        if turned:
            if not all(name in _MIRRORED or name in _SYMMETRIC for name in relations):
                return False
            sides, relations = (
                sides[::-1],
                [_MIRRORED.get(name, name) for name in reversed(relations)],
            )
        if relations == reference.name.split() and _in_order(list(reference.args), sides):
            return True
    return False


def _valued(reference: Node, answer: Node, order: Sequence[str], top: bool) -> bool:
    """Compare if at least one names its value: `x = 5` with `5`, `2 + 3 = 5`, `x = 5`."""
    sides = [result_sides(node) for node in (reference, answer)]
    if sides[0] is None or sides[1] is None:
        return False
    expected, given = sides[0], sides[1]
    if answer.op != "rel" and not names_value(reference.args[0]):
        return False  # 12 is not the answer 2x + 3y = 12
    if reference.op == answer.op == "rel":
        names = [node.args[0] for node in (reference, answer)]
        if not names[0].symbols() and not names[1].symbols():
            return _same(expected[0], given[-1], order, top)
        if len(reference.args) == 2 and not (is_name(names[0]) and is_name(names[1])):
            return False
        if not same_name(names[0], names[1]):
            return False
    elif answer.op == "rel":
        return _any_side(expected[0], answer, order, top)
    return _same(expected[0], given[-1], order, top)


def _any_side(expected: Node, answer: Node, order: Sequence[str], top: bool) -> bool:
    """Return whether an equation that names or computes a value gives the expected value."""
    if answer.name == "in":
        return answer.args[0].op == "sym" and _same(expected, answer.args[1], order, top)
    number = as_number(expected) is not None
    first, last = answer.args[0], answer.args[-1]
    if is_name(last) and not is_name(first) and not number:
        return _same(expected, first, order, top)
    if number and as_number(first) is not None:
        return any(_same(expected, side, order, top) for side in answer.args)
    if (
        number
        and "~" in answer.name.split()
        and any(
            _same(expected, side, order, top)
            for side in answer.args[1:]
            if as_number(side) is not None
        )
    ):
        return True
    if first.op == "fn" and last.symbols() and not first.symbols() <= last.symbols():
        return False  # f(t) = x + 1
    if number and first.op == "add" and len(answer.args) == 2 and same_value(expected, num(0)):
        return False  # x + y = 0 is an equation and does not name a value
    if (
        is_name(first)
        or (number and first.op == "abs")
        or (number and first.op != "neg" and len(first.symbols()) > 1)
    ):
        return _same(expected, last, order, top)
    # An identity may end in the result; an equation between two different sides is not an identity.
    return (
        first.op in SCALARS and last.op in SCALARS and _same(expected, last) and _same(first, last)
    )
