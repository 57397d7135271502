r"""Normalises notation that answers write in different ways: Unicode symbols, spacing and sizing, formula delimiters.

`plain_symbols` and `clean` do not change the meaning. `same_text` compares two texts by their characters.
"""

import re

SYMBOLS = str.maketrans(
    {
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},  # full-width forms of ASCII
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),  # zero-width characters
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " "),
        **{c: f"_{{{i}}}" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
        **dict.fromkeys("‘’ʹ′", "'"),
        **dict.fromkeys("−–‒﹣－⁻", "-"),
        "″": "''",
        "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "⅕": r"\frac{1}{5}",
        "⅛": r"\frac{1}{8}",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∙": r"\cdot ",
        "∗": r"\cdot ",
        "÷": r"\div ",
        "∕": "/",
        "⁄": "/",
        "π": r"\pi ",
        "θ": r"\theta ",
        "α": r"\alpha ",
        "β": r"\beta ",
        "γ": r"\gamma ",
        "λ": r"\lambda ",
        "φ": r"\phi ",
        "ω": r"\omega ",
        "Ω": r"\Omega ",
        "μ": r"\mu ",
        "µ": r"\mu ",
        "σ": r"\sigma ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "⩽": r"\le ",
        "≥": r"\ge ",
        "⩾": r"\ge ",
        "≠": r"\neq ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∅": r"\emptyset ",
        "±": r"\pm ",
        "∓": r"\mp ",
        "°": r"^\circ ",
        "∈": r"\in ",
        "≈": r"\approx ",
        "ℝ": r"\mathbb{R}",
        "ℤ": r"\mathbb{Z}",
        "…": r"\ldots ",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⌈": r"\lceil ",
        "⌉": r"\rceil ",
        "∠": r"\angle ",
    }
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_RAISED_RUN = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_ROOT = re.compile(r"(∛|√)\s*(?:\(([^()]{0,200})\)|(\d{1,99}(?:\.\d{1,99})?|[A-Za-z]))")
_SIZING = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|mathstrut|strut|hfill|noindent|large|Large|LARGE|huge|Huge|small|normalsize|bfseries|scriptstyle)(?![A-Za-z])"
)
_SPACING = re.compile(
    r"(?<!\\)\\(?:[,;: ]|q?quad(?![A-Za-z])|hspace\*?\{[^{}]{0,20}\}|thinspace(?![A-Za-z]))|[~\s]"
)
_DIGITS_APART = re.compile(r"(?<=\d)(?:\{,\}|,?\\!\s*,?|,\\[,;: ]|\\[,;:])\s*(?=\d{3}(?!\d))")
_ORDINAL = re.compile(
    r"(\d)\s?\^?\{?\s?(?:\\(?:text|mathrm|textrm|rm)\s?\{)?(?:th|st|nd|rd)\b\}{0,2}"
)
_STYLED_FRACTION = re.compile(r"\\[dtc](frac|binom)(?![A-Za-z])")
_PROSE_AFTER_NUMBER = re.compile(
    r"\s*\d[\d,.]*\s+[A-Za-z]{2,}[^\\=]*$"
)  # $18 and $20: money and not a formula
_GOES_ON = re.compile(r"(?<=[\d,;\s])\.\.\.+$")  # an ellipsis after numbers is not punctuation
_CLOCK = re.compile(r"(?<=\d)(?: ?)(?i:([ap])\.\s?m\b\.?)")
_COUNTED = re.compile(
    r"^(-?[\d.,/]+) \((?!mod\b|base\b|in base\b)([a-z][a-z' .-]*[a-z])\)$"
)  # 9 (apples)
_TIMES_TEN = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
_OVER = re.compile(r"\{([^{}]{1,200}?)\\over(?![A-Za-z])([^{}]{1,200})\}")
_COLOURED = re.compile(r"\\(?:textcolor\s*\{\w{1,20}\}|color\s*\{\w{1,20}\})\s*(?=[{\\\d])")
_PHANTOM = re.compile(r"^\\[hv]?phantom\s*\{[^{}]{0,20}\}|\\[hv]?phantom\s*\{[^{}]{0,20}\}$")
_WHOLE = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|textbf|mathrm|text|underline|boxed|fbox|mathit|bf)\s*\{(.*)\}|"
    r"\\begin\s*\{(?P<aligned>aligned|split|gathered|align\*?)\}([^&\\]*)\\end\s*\{(?P=aligned)\}",
    re.DOTALL,
)
_TYPE_OF_NUMBER = re.compile(
    r"\\(?:underline|begin|boxed|fbox)(?![A-Za-z])"
)  # a macro inside the text
_DOLLAR = "¤"
_EDGE = " \t\n.,;:"


def unstopped(text: str, stops: str = " .;:,") -> str:
    """Return a text without the punctuation at its end; an ellipsis after numbers stays."""
    bare = text.rstrip()
    return bare if _GOES_ON.search(bare) else bare.rstrip(stops)


def plain_symbols(text: str) -> str:
    """Return a text with its Unicode symbols written in ASCII and LaTeX."""
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    text = _ROOT.sub(lambda m: f"\\sqrt{'[3]' if m[1] == '∛' else ''}{{{m[2] or m[3]}}}", text)
    return text.translate(SYMBOLS)


def clean(text: str) -> str:
    r"""Return a formula without its delimiters, sizing and spacing; a dollar sign becomes `¤`.

    Unambiguous thousands separators (`10{,}000`, `10\,000`) are removed.
    """
    text = plain_symbols(text).strip()
    text = text.replace("\\$", _DOLLAR).replace("\\%", "%")
    if "$" in text:
        inside = text.split("$")[1::2]
        if text.count("$") % 2 or any(_PROSE_AFTER_NUMBER.match(part) for part in inside):
            text = re.sub(r"\$(?=\s*[\d.])", _DOLLAR, text)
        text = text.replace("$", " ")
    if "\\" in text or "{,}" in text:
        text = _DIGITS_APART.sub("", text)
        text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
        text = _SIZING.sub("", text).replace("\\!", "")
        text = _STYLED_FRACTION.sub(r"\\\1", text)
        text = _without_layout(text)
    text = _CLOCK.sub(r"\1m", text)
    text = _COUNTED.sub(r"\1 \2", text)
    text = _TIMES_TEN.sub(r"\\times ", text)
    text = _ORDINAL.sub(r"\1", text)
    text = " ".join(_SPACING.sub(" ", text).split()).strip(" ,;:")
    return unstopped(text, _EDGE)


def _without_layout(text: str) -> str:
    """Return a formula without colour, invisible parts, and a font macro or environment around the whole formula."""
    text = _OVER.sub(r"{\\frac{\1}{\2}}", _PHANTOM.sub("", _COLOURED.sub("", text).strip())).strip()
    for _ in range(3):
        whole = _WHOLE.fullmatch(text)
        inside = whole and (whole[1] if whole[1] is not None else whole[3])
        if (
            not inside
            or not _balanced(inside)
            or not ("\\" in inside or _TYPE_OF_NUMBER.match(text))
        ):
            return text
        text = inside.strip()
    return text


def _balanced(text: str) -> bool:
    """Return whether no brace is closed before it is opened, so that the outer braces form a pair."""
    depth = 0
    for sign in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def same_text(left: str, right: str) -> bool:
    """Return whether two texts are equal up to spacing, sizing, formula delimiters and an outer text macro."""
    return left == right or essence(left) == essence(right)


def essence(text: str) -> str:
    """Return the form of a text that `same_text` compares, without parts that never change the meaning."""
    text = clean(text.strip().strip("*").strip())
    whole = re.fullmatch(
        r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox|boxed|fbox)\s*\{([^{}]*)\}", text
    )
    if whole:
        text = whole[1].strip(_EDGE)
    # A space between two letters or digits separates them; any other space has no meaning.
    text = re.sub(r"\s+(?![\w\\])|(?<![\w])\s+", "", text)
    return re.sub(r"\s+", " ", text)
