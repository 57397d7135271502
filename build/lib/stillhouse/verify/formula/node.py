"""Defines the tree of a formula."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """One operation with its operands.

    Attributes:
        op: the operation. Leaves: `num`, `sym`, `const`, `word`, `dots`, `empty`, `reals`, `blank`. Arithmetic: `add`,
            `mul`, `div`, `neg`, `pm`, `pow`, `mixed`, `fact`, `fn`, `abs`, `based`, `matrix`, `row`. Not numbers:
            `list`, `group`, `rel`, `ratio`, `setop`, `builder`. Formulas with an addition: `percent`, `degree`, `unit`,
            `mod`, `compound` (several units), `noted` (a condition in words).
        args: the operands.
        name: the symbol, function, relation, brackets, separator or unit.
        value: the number of a `num`.
        digits: significant digits of a number written as a decimal, otherwise None.
        places: digits after the decimal point.
    """

    op: str
    args: tuple["Node", ...] = ()
    name: str = ""
    value: Fraction | None = None
    digits: int | None = None
    places: int = 0

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all nodes below it."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.args)

    def symbols(self) -> set[str]:
        """Return the names of the variables, without the imaginary unit."""
        return {node.name for node in self.walk() if node.op == "sym" and node.name != "i"}


def num(value: int | Fraction) -> Node:
    """Return the node of an exact number."""
    return Node("num", value=Fraction(value))
