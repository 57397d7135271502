"""Compares the values of two formulas at fixed points of their variables; rational values are compared exactly."""

from fractions import Fraction
from typing import Any

from stillhouse.verify.formula.errors import UndefinedError
from stillhouse.verify.formula.evaluate import DIGITS, Value, context, drawn, evaluate, is_zero
from stillhouse.verify.formula.node import Node

AGREE = "1e-30"  # relative difference below which two values of 50 digits are equal
# A smaller value is computed again with twice the digits, to distinguish it from zero.
NEAR_ZERO = "1e-35"
MIN_DECIMAL_DIGITS = 5  # a decimal with fewer digits must equal the value exactly
POINTS = 5  # number of points; at one of them all variables are negative
_SIZES = (Fraction(1, 3), Fraction(7), Fraction(2), Fraction(-5), Fraction(1, 2))


def point(names: set[str], number: int) -> dict[str, Fraction]:
    """Return fixed values of variables: small rational numbers without a simple relation between them."""
    values = {}
    for name in names:
        value = drawn(f"{number} {name}") * _SIZES[number]
        values[name] = -value if number == 4 and drawn(f"sign {name}") > 1 else value
    return values


def equal_values(left: Value, right: Value) -> bool:
    """Return whether two values agree; matrices are compared entry by entry."""
    if isinstance(left, tuple) or isinstance(right, tuple):
        return (
            isinstance(left, tuple)
            and isinstance(right, tuple)
            and [len(row) for row in left] == [len(row) for row in right]
            and all(
                equal_values(a, b)
                for one, other in zip(left, right, strict=True)
                for a, b in zip(one, other, strict=True)
            )
        )
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    mp = context(DIGITS)
    a, b = (
        mp.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else v for v in (left, right)
    )
    if mp.isinf(a) or mp.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= mp.mpf(AGREE) * max(abs(a), abs(b)))


def same_value(left: Node, right: Node) -> bool:
    """Return whether two formulas without a unit are equal wherever both are real.

    A decimal with at least five digits may replace a number without a finite decimal expansion.
    """
    names = left.symbols() | right.symbols()
    logs = any(
        node.op == "fn" and node.name == "log" and len(node.args) == 1
        for tree in (left, right)
        for node in tree.walk()
    )
    return any(
        _same(left, right, names, decimal_log)
        for decimal_log in ((False, True) if logs else (False,))
    )


def _same(left: Node, right: Node, names: set[str], decimal_log: bool) -> bool:
    if not names:
        return _same_numbers(left, right, decimal_log)
    compared = complex_agree = 0
    imaginary = any(
        node.op == "sym" and node.name == "i" for tree in (left, right) for node in tree.walk()
    )
    for number in range(POINTS):
        at = point(names, number)
        try:
            a, b = (evaluate(tree, at, decimal_log=decimal_log) for tree in (left, right))
        except UndefinedError:
            continue
        if not _agree(a, b, (left, right), at, decimal_log):
            if imaginary or (_real(a) and _real(b)) or number in (0, 1, 2):
                return False
            continue
        if _real(a) and _real(b):
            compared += 1
        else:
            complex_agree += 1
    return compared + complex_agree >= 2


def _agree(
    a: Value, b: Value, trees: tuple[Node, Node], at: dict[str, Fraction], decimal_log: bool
) -> bool:
    """Return whether the values of two trees agree; values close to zero are computed again with twice the digits."""
    if equal_values(a, b):
        return True
    if (
        isinstance(a, tuple)
        or isinstance(b, tuple)
        or (isinstance(a, Fraction) and isinstance(b, Fraction))
    ):
        return False
    if not (_tiny(a, DIGITS) and _tiny(b, DIGITS)):
        return False
    again = (evaluate(tree, at, 2 * DIGITS, decimal_log=decimal_log) for tree in trees)
    return all(_tiny(value, 2 * DIGITS) for value in again)


def _tiny(value: Value, digits: int) -> bool:
    return is_zero(value) or (
        not isinstance(value, Fraction)
        and bool(abs(value) < context(digits).mpf(NEAR_ZERO) ** (digits // DIGITS))
    )


def _real(value: Value) -> bool:
    if isinstance(value, tuple):
        return all(_real(entry) for row in value for entry in row)
    return isinstance(value, Fraction) or not hasattr(value, "_mpc_") or value.imag == 0


def _same_numbers(left: Node, right: Node, decimal_log: bool) -> bool:
    try:
        a, b = (evaluate(tree, decimal_log=decimal_log) for tree in (left, right))
    except UndefinedError:
        return False
    if _agree(a, b, (left, right), {}, decimal_log):
        return True
    if (
        isinstance(a, tuple)
        and isinstance(b, tuple)
        and left.op == right.op == "matrix"
        and len(a) == len(b)
    ):
        return all(
            len(one.args) == len(other.args)
            and all(
                _same_numbers(x, y, decimal_log) for x, y in zip(one.args, other.args, strict=True)
            )
            for one, other in zip(left.args, right.args, strict=True)
        )
    if isinstance(a, tuple) or isinstance(b, tuple):
        return False
    return _stands_for(left, a, b) or _stands_for(right, b, a)


def _stands_for(tree: Node, decimal: Value, exact: Value) -> bool:
    """Return whether a formula is a decimal of a value with at least five digits, rounded or truncated."""
    while tree.op in ("neg", "percent"):
        tree = tree.args[0]
    if tree.op != "num" or tree.digits is None or tree.digits < MIN_DECIMAL_DIGITS:
        return False
    if isinstance(exact, Fraction) and _terminates(exact):
        return False
    return rounds_to(exact, decimal, tree.places)


def rounds_to(exact: Value, decimal: Value, places: int) -> bool:
    """Return whether a decimal equals a real value that is rounded or truncated to `places` decimal places.

    Args:
        exact: the exact value.
        decimal: the value of the decimal.
        places: the number of its decimal places.
    """
    if (
        isinstance(exact, tuple)
        or isinstance(decimal, tuple)
        or not (_real(exact) and _real(decimal))
    ):
        return False
    mp = context(DIGITS)
    a, b = _float(exact), _float(decimal)
    apart, step = abs(a - b), mp.mpf(10) ** -places
    return bool(apart <= step / 2 * (1 + mp.mpf(AGREE)) or (apart < step and abs(b) < abs(a)))


def _float(value: Value) -> Any:
    return (
        context(DIGITS).mpf(value.numerator) / value.denominator
        if isinstance(value, Fraction)
        else value
    )


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def same_curve(left: Node, right: Node, directed: bool) -> bool:
    """Return whether the difference of one relation's sides is a constant multiple of the other's.

    Both differences then have the same zeros. If `directed`, the constant must be positive, as for an inequality.
    """
    names = left.symbols() | right.symbols()
    if left.symbols() != right.symbols():
        return False
    ratio: Value | None = None
    compared = 0
    for number in range(POINTS):
        at = point(names, number)
        try:
            a, b = evaluate(left, at), evaluate(right, at)
        except UndefinedError:
            continue
        if isinstance(a, tuple) or isinstance(b, tuple) or not (_real(a) and _real(b)):
            continue
        if is_zero(a) or is_zero(b):
            if is_zero(a) != is_zero(b):
                return False
            continue
        found = (
            a / b if isinstance(a, Fraction) == isinstance(b, Fraction) else _float(a) / _float(b)
        )
        if ratio is None:
            ratio = found
        elif not equal_values(ratio, found):
            return False
        compared += 1
    return compared >= 2 and ratio is not None and (not directed or bool(_float(ratio) > 0))
