"""Why a formula has no value here."""


class FormulaError(Exception):
    """A formula cannot be read, computed or compared; the message says what and where."""


class UnreadError(FormulaError):
    """A part of a text is outside the notation that the parser knows, so nothing is known of the whole."""


class TooComplexError(FormulaError):
    """A formula is outside the bounds on length, nesting or size of numbers; the message says which."""


class UndefinedError(FormulaError):
    """A formula has no value at a point: division by zero, the logarithm of zero."""
