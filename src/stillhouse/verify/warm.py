"""Imported by the server that workers are forked from, never by other code: the rules after their first use.

The first formula imports mpmath and fills its tables, and the first constraint loads models of language. Done here, it
is not done again by each worker, nor by one that replaces a killed one.
"""

import contextlib
import gc

from stillhouse.verify.rules import ifeval
from stillhouse.verify.rules.math import check_math

for reference, answer in (
    ("\\frac{1}{2}", "\\frac{2}{4}"),
    ("x^2 + 3x + 2", "(x + 1)(x + 2)"),
    ("3\\sqrt{2} - 1", "\\sqrt{18} - 1"),
    ("[0, 3)", "\\left[0, 3\\right)"),
    ("\\{1, 2, 5\\}", "\\left\\{5, 2, 1\\right\\}"),
    ("(-1, \\frac{\\pi}{3})", "\\left(-1, \\tfrac{2\\pi}{6}\\right)"),
    ("y = 2x + \\log_2 8", "y = 2x + 3"),
    (
        "\\begin{pmatrix} 1 & 0 \\\\ 0 & 2 \\end{pmatrix}",
        "\\begin{pmatrix} 1 & 0 \\\\ 0 & 4/2 \\end{pmatrix}",
    ),
    ("12.5\\%", "0.125"),
    ("\\sin^2 x", "1 - \\cos^2 x"),
    ("10^{-3}", "0.001"),
    ("x \\leq 5", "x < 5"),
):
    check_math(reference, f"So it is $\\boxed{{{answer}}}$.")

# Without its data IFEval fails where it is used, with the reason; this server serves other checks too.
with contextlib.suppress(ifeval.IfevalError, ImportError, OSError):
    ifeval.warm()

# Else the first collection in each worker copies every page of what is shared with this process.
gc.collect()
gc.freeze()
