"""Formulas in the notation of answers: read in full or not at all, computed within bounds, compared.

No module here knows of queries, prompts or verdicts; `verify/rules/math.py` does.
"""

from stillhouse.verify.formula.compare import compare
from stillhouse.verify.formula.errors import (
    FormulaError,
    TooComplexError,
    UndefinedError,
    UnreadError,
)
from stillhouse.verify.formula.naming import is_equation
from stillhouse.verify.formula.node import Node
from stillhouse.verify.formula.parser import parse

__all__ = [
    "FormulaError",
    "Node",
    "TooComplexError",
    "UndefinedError",
    "UnreadError",
    "compare",
    "is_equation",
    "parse",
]
