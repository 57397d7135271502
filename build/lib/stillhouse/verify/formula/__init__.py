"""Parses, evaluates and compares formulas in the notation of answers.

A formula is parsed completely or not at all, and evaluated within bounds. The modules here must not import queries,
prompts or verdicts; `verify/rules/math.py` connects them.
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
