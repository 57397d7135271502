"""Evaluates a formula at a point: exactly if the value is rational, otherwise to a fixed number of digits.

The size of numbers and the total work are bounded, so that a short text cannot keep a worker busy.
"""

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from math import comb, factorial, gcd, lcm
from typing import Any

import mpmath  # type: ignore[import-untyped]

from stillhouse.verify.formula.errors import TooComplexError, UndefinedError, UnreadError
from stillhouse.verify.formula.node import Node

DIGITS = 50  # digits of an irrational value; two values that agree to 1e-30 are equal
MAX_BITS = 150_000  # bits of one exact number; 9999! has 118,000
MAX_WORK_BITS = 3_000_000  # bits of all exact numbers of one formula together
MAX_FACTORIAL = 9999
# Binary exponent of a function's argument; its period must be known to that many bits.
MAX_MAGNITUDE = 20_000
MAX_EXPONENT = 100_000  # exponent of an irrational or inexact base

Matrix = tuple[tuple[Any, ...], ...]
Value = Any  # Fraction, mpf, mpc, or a Matrix of these

_CONTEXTS: dict[int, Any] = {}


def context(digits: int) -> Any:
    """Return the mpmath context with this number of digits."""
    if digits not in _CONTEXTS:
        made = mpmath.MPContext()
        made.dps = digits
        _CONTEXTS[digits] = made
    return _CONTEXTS[digits]


def evaluate(
    node: Node,
    point: Mapping[str, Fraction] | None = None,
    digits: int = DIGITS,
    upper: bool = True,
    decimal_log: bool = False,
) -> Value:
    """Return the value of a formula.

    Args:
        node: arithmetic or a matrix.
        point: the values of its variables.
        digits: the number of digits of an irrational value.
        upper: whether every plus-or-minus has its upper sign.
        decimal_log: whether a logarithm without a base is to the base ten and not natural.

    Raises:
        UndefinedError: the formula has no value at the point.
        TooComplexError: a number or the work is outside the bounds.
        UnreadError: the tree is not arithmetic, for example a set.
    """
    return _Evaluation(point or {}, context(digits), upper, decimal_log).value(node)


def is_zero(value: Value) -> bool:
    """Return whether a number is zero."""
    return bool(value == 0)


class _Evaluation:
    def __init__(
        self, point: Mapping[str, Fraction], mp: Any, upper: bool, decimal_log: bool
    ) -> None:
        self.decimal_log = decimal_log
        self.point = point
        self.mp = mp
        self.upper = upper
        self.work = 0

    def value(self, node: Node) -> Value:
        op = node.op
        if op == "num":
            assert node.value is not None
            return self.bounded(node.value)
        if op == "sym":
            if node.name == "i":
                return self.mp.mpc(0, 1)
            if node.name not in self.point:
                raise UnreadError(f"variable {node.name}")
            return self.point[node.name]
        if op == "const":
            return {"e": self.mp.e, "pi": self.mp.pi, "infty": self.mp.inf}[node.name] + 0
        if op == "matrix":
            return tuple(tuple(self.value(entry) for entry in row.args) for row in node.args)
        if op in _UNARY or op in _BINARY:
            values = [self.value(arg) for arg in node.args]
            return self.bounded(self.operation(op, node.name, values))
        if op == "fn":
            return self.bounded(self.function(node))
        raise UnreadError(f"{op} {node.name}".strip())

    def bounded(self, value: Value) -> Value:
        if isinstance(value, Fraction):
            bits = value.numerator.bit_length() + value.denominator.bit_length()
            self.work += bits
            if bits > MAX_BITS or self.work > MAX_WORK_BITS:
                raise TooComplexError("a number of too many digits")
        elif isinstance(value, tuple):
            pass
        elif self.mp.isnan(value):
            raise UndefinedError("not a number")
        return value

    def operation(self, op: str, name: str, values: list[Value]) -> Value:
        left, right = values[0], values[-1]
        if any(isinstance(value, tuple) for value in values):
            return self.on_matrices(op, name, left, right)
        if op == "pm":
            plus = self.upper == (name == "pm")
            op = (
                ("add" if len(values) == 2 else "same")
                if plus
                else ("sub" if len(values) == 2 else "neg")
            )
        if op == "same":
            return left
        if op == "neg":
            return -left
        if op == "percent":
            return left / 100
        if op == "degree":
            return self.inexact(left) * self.mp.pi / 180
        if op == "fact":
            return self.factorial(left)
        if op == "abs":
            return abs(left)
        if op in ("add", "sub"):
            left, right = self.alike(left, right)
            return left + right if op == "add" else left - right
        if op == "mixed":
            return left + right
        if op == "mul":
            if (is_zero(left) and self.finite(right)) or (is_zero(right) and self.finite(left)):
                return Fraction(0)
            left, right = self.alike(left, right)
            return left * right
        if op == "div":
            if is_zero(right):
                raise UndefinedError("division by zero")
            left, right = self.alike(left, right)
            return left / right
        return self.power(left, right)

    def on_matrices(self, op: str, name: str, left: Value, right: Value) -> Value:
        if op == "neg":
            return tuple(tuple(-entry for entry in row) for row in left)
        if op in ("add", "sub") and isinstance(left, tuple) and isinstance(right, tuple):
            if [len(row) for row in left] != [len(row) for row in right]:
                raise UndefinedError("a sum of matrices of unlike shape")
            return tuple(
                tuple(self.operation(op, name, [a, b]) for a, b in zip(one, other, strict=True))
                for one, other in zip(left, right, strict=True)
            )
        if op == "mul" and not (isinstance(left, tuple) and isinstance(right, tuple)):
            matrix, factor = (left, right) if isinstance(left, tuple) else (right, left)
            return tuple(
                tuple(self.operation("mul", "", [factor, entry]) for entry in row) for row in matrix
            )
        if op == "div" and isinstance(left, tuple) and not isinstance(right, tuple):
            return tuple(
                tuple(self.operation("div", "", [entry, right]) for entry in row) for row in left
            )
        raise UnreadError(f"{op} of a matrix")

    def inexact(self, value: Value) -> Any:
        if isinstance(value, Fraction):
            return self.mp.mpf(value.numerator) / value.denominator
        return value

    def alike(self, left: Value, right: Value) -> tuple[Value, Value]:
        if isinstance(left, Fraction) and isinstance(right, Fraction):
            return left, right
        return self.inexact(left), self.inexact(right)

    def finite(self, value: Value) -> bool:
        return isinstance(value, Fraction) or bool(self.mp.isfinite(value))

    def power(self, base: Value, exponent: Value) -> Value:
        if isinstance(exponent, Fraction):
            if exponent.denominator == 1 and isinstance(base, Fraction):
                times = abs(exponent.numerator)
                bits = max(base.numerator.bit_length(), base.denominator.bit_length())
                if base in (0, 1, -1):
                    if base == 0 and exponent < 0:
                        raise UndefinedError("division by zero")
                    return (
                        Fraction(1)
                        if exponent == 0
                        else base
                        if times % 2 or base >= 0
                        else Fraction(1)
                    )
                if times * (bits - 1) > MAX_BITS:
                    raise TooComplexError("a power of too many digits")
                return base**exponent.numerator
            if isinstance(base, Fraction) and base >= 0:
                exact = self.exact_root(base, exponent.denominator)
                if exact is not None:
                    return self.power(exact, Fraction(exponent.numerator))
        if is_zero(base) and not is_zero(exponent):
            if self.mp.re(self.inexact(exponent)) < 0:
                raise UndefinedError("division by zero")
            return Fraction(0)
        base, exponent = self.inexact(base), self.inexact(exponent)
        if abs(exponent) > MAX_EXPONENT or self.mp.mag(base) > MAX_MAGNITUDE * MAX_EXPONENT:
            raise TooComplexError("a power of too many digits")
        return self.mp.power(base, exponent)

    def exact_root(self, base: Fraction, index: int) -> Fraction | None:
        if (
            not 2 <= index <= 12
            or base.numerator.bit_length() + base.denominator.bit_length() > 4000
        ):
            return None
        roots = [_integer_root(part, index) for part in (base.numerator, base.denominator)]
        return None if None in roots else Fraction(roots[0], roots[1])  # type: ignore[arg-type]

    def factorial(self, value: Value) -> Value:
        if isinstance(value, Fraction) and value.denominator == 1:
            if value < 0:
                raise UndefinedError("the factorial of a negative number")
            if value > MAX_FACTORIAL:
                raise TooComplexError(f"a factorial above {MAX_FACTORIAL}")
            return Fraction(factorial(value.numerator))
        value = self.small(value)
        return self.mp.gamma(value + 1)

    def small(self, value: Value) -> Any:
        """Return a value as the argument of a function."""
        value = self.inexact(value)
        if self.finite(value) and abs(value) > MAX_FACTORIAL:
            raise TooComplexError("an argument of too many digits")
        return value

    def argument(self, value: Value) -> Any:
        value = self.inexact(value)
        if self.finite(value) and value and self.mp.mag(value) > MAX_MAGNITUDE:
            raise TooComplexError("an argument of too many digits")
        return value

    def function(self, node: Node) -> Value:
        name = node.name
        values = [self.value(arg) for arg in node.args if arg.op not in ("group", "list")]
        for arg in node.args:
            if arg.op in ("group", "list"):
                values.extend(self.value(inner) for inner in arg.args)
        if any(isinstance(value, tuple) for value in values) or not values:
            raise UnreadError(f"{name} of a matrix")
        first = values[0]
        try:
            return self.known(name, first, values)
        except (ValueError, ZeroDivisionError, OverflowError) as error:
            raise UndefinedError(f"{name}: {error}") from error

    def known(self, name: str, first: Value, values: list[Value]) -> Value:
        mp = self.mp
        if name == "sqrt":
            return self.root(first, values[1] if len(values) > 1 else Fraction(2))
        if name in ("ln", "log", "lg"):
            if is_zero(first):
                raise UndefinedError("the logarithm of zero")
            if len(values) > 1 or name == "lg":
                base = values[1] if len(values) > 1 else Fraction(10)
                if is_zero(base) or base == 1:
                    raise UndefinedError("a logarithm to the base 0 or 1")
                return self.exact_log(first, base) or mp.log(self.inexact(first)) / mp.log(
                    self.inexact(base)
                )
            if name == "log" and self.decimal_log:
                return self.known("lg", first, values)
            return mp.log(self.inexact(first)) if first != 1 else Fraction(0)
        if name == "exp":
            return self.power(mp.e + 0, first)
        if name in ("floor", "ceil"):
            if isinstance(first, Fraction):
                return Fraction(first.__floor__() if name == "floor" else first.__ceil__())
            if not mp.isfinite(first) or isinstance(first, mp.mpc):
                raise UndefinedError(f"{name} of {first}")
            near = getattr(mp, name)(self.argument(first))
            return Fraction(int(near))
        if (
            name in ("gcd", "lcm", "min", "max")
            and all(isinstance(value, Fraction) for value in values)
            and len(values) > 1
        ):
            if name in ("min", "max"):
                return min(values) if name == "min" else max(values)
            if all(value.denominator == 1 for value in values):
                whole = [value.numerator for value in values]
                return Fraction(gcd(*whole) if name == "gcd" else lcm(*whole))
        if name == "binom" and len(values) == 2:
            return self.binomial(*values)
        if name in _PERIODIC and len(values) == 1:
            return (
                getattr(mp, name)(self.argument(first))
                if not is_zero(first) or name in ("cot", "csc")
                else (Fraction(name in ("cos", "sec")))
            )
        if name in _SMOOTH and len(values) == 1:
            return (
                getattr(mp, _SMOOTH[name])(self.small(first))
                if not is_zero(first) or name == "arccos"
                else (Fraction(name == "cosh"))
            )
        return self.unknown(name, values)

    def root(self, value: Value, index: Value) -> Value:
        if is_zero(index):
            raise UndefinedError("a root of index 0")
        if (
            isinstance(value, Fraction)
            and isinstance(index, Fraction)
            and value < 0
            and index.denominator == 1
            and index % 2
        ):
            return -self.power(-value, 1 / index)
        return self.power(value, 1 / index)

    def exact_log(self, value: Value, base: Value) -> Fraction | None:
        """Return a logarithm that is an integer exactly: 3 for the logarithm of 8 to the base 2."""
        if not (
            isinstance(value, Fraction) and isinstance(base, Fraction) and value > 0 and base > 0
        ):
            return None
        near = self.mp.log(self.inexact(value)) / self.mp.log(self.inexact(base))
        whole = Fraction(int(self.mp.nint(near)))
        if (
            abs(whole) < 1000
            and whole
            and abs(near - int(whole)) < 1e-30
            and self.power(base, whole) == value
        ):
            return whole
        return None

    def binomial(self, n: Value, k: Value) -> Value:
        if all(isinstance(value, Fraction) and value.denominator == 1 for value in (n, k)):
            if max(abs(n), abs(k)) > MAX_FACTORIAL:
                raise TooComplexError(f"a binomial of numbers above {MAX_FACTORIAL}")
            if n >= 0 and k >= 0:
                return Fraction(comb(n.numerator, k.numerator))
        return self.mp.binomial(self.small(n), self.small(k))

    def unknown(self, name: str, values: list[Value]) -> Fraction:
        """Return a number that depends only on the name of an unknown function and its arguments."""
        shown = ",".join(str(v) if isinstance(v, Fraction) else self.mp.nstr(v, 25) for v in values)
        return drawn(f"{name}({shown})")


_UNARY = frozenset(("neg", "percent", "degree", "fact", "abs"))
_BINARY = frozenset(("add", "mul", "div", "pow", "pm", "mixed"))
_PERIODIC = frozenset(str.split("sin cos tan cot sec csc"))
_SMOOTH = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "sinh": "sinh", "cosh": "cosh",
    "tanh": "tanh",
    "coth": "coth",
}  # fmt: skip

# Functions that are evaluated. Any other name gets a pseudo-random number derived from the name.
EVALUATED = (
    _PERIODIC
    | _SMOOTH.keys()
    | set(str.split("sqrt ln log lg exp floor ceil gcd lcm min max binom"))
)


def drawn(name: str) -> Fraction:
    """Return the pseudo-random number between 1/2 and 2 of a name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return Fraction(5003 + number % 15013, 10007)


def _integer_root(value: int, index: int) -> int | None:
    if value < 2:
        return value
    low, high = 1, 1 << (value.bit_length() // index + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**index <= value:
            low = middle
        else:
            high = middle - 1
    return low if low**index == value else None
