"""Warms up the rules at its import. Only the server process that workers are forked from imports this module.

The first formula imports mpmath and fills its tables, and the first constraint loads language models. The forked
workers inherit the result, so that neither they nor their replacements repeat this work.
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

# If the data of IFEval is missing, its check reports this where it is used. The server is needed for other checks too.
with contextlib.suppress(ifeval.IfevalError, ImportError, OSError):
    ifeval.warm()

# Otherwise the first garbage collection in each worker copies all memory pages that it shares with this process.
gc.collect()
gc.freeze()
