"""Imported by the server that workers are forked from, never by other code: math-verify after its first use.

The first text that it parses builds its grammar and fills sympy's tables, which takes as long as ten answers. Done
here, it is not done again by each worker that replaces a killed one.
"""

import logging

from stillhouse.verify.math import check_math

# It warns on every call that its own time limit, a signal, is off.
logging.getLogger("math_verify").setLevel(logging.ERROR)
check_math("\\frac{1}{2}", "It is $\\boxed{\\frac{2}{4}}$.")
check_math("x^2 + 3x + 2", "It is $\\boxed{(x + 1)(x + 2)}$.")
