"""Defines the errors of parsing, evaluating and comparing formulas."""


class FormulaError(Exception):
    """A formula cannot be parsed, evaluated or compared; the message says what and where."""


class UnreadError(FormulaError):
    """A part of a text is outside the notation of the parser, so that the meaning of the whole text is unknown."""


class TooComplexError(FormulaError):
    """A formula is outside the bounds on length, nesting or size of numbers; the message says which."""


class UndefinedError(FormulaError):
    """A formula has no value at a point: division by zero, the logarithm of zero."""
