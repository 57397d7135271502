"""Lists the names and signs that the tokeniser knows, with the token of each."""

GREEK = frozenset(
    str.split(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
        "upsilon phi "
        "varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar"
    )
)
FUNCTIONS = frozenset(
    str.split(
        "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth ln log lg exp gcd lcm min max arg "
        "det dim ker "
        "deg Re Im tr sgn asin acos atan"
    )
)
ALIASES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "tg": "tan",
    "arctg": "arctan",
    "cosec": "csc",
}
RELATIONS = {
    "=": "=", "<": "<", ">": ">", "\\lt": "<", "\\gt": ">", "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=",
    "\\ge": ">=",
    "\\geq": ">=", "\\geqslant": ">=", "\\ne": "!=", "\\neq": "!=", "\\approx": "~", "\\in": "in", "\\notin": "not in",
    "\\subset": "sub", "\\subseteq": "sub=", "\\supset": "sup", "\\supseteq": "sup=", "\\equiv": "mod=", "\\sim": "sim",
    "\\cong": "cong", "\\parallel": "par", "\\perp": "perp", "\\to": "to", "\\rightarrow": "to", "\\mapsto": "mapsto",
    "\\propto": "prop", "\\mid": "|", "\\simeq": "~", "\\doteq": "~",
    "<=": "<=", ">=": ">=", "!=": "!=", "==": "=",
}  # fmt: skip
OPERATORS = {
    "+": "+", "-": "-", "*": "*", "\\cdot": "*", "\\times": "*", "\\ast": "*", "/": "/", "\\div": "/", "\\pm": "pm",
    "\\mp": "mp",
    "\\cup": "cup", "\\cap": "cap", "\\setminus": "minus", "\\backslash": "minus", "^": "^", "**": "^", "!": "!",
    "%": "%",
    "_": "_", "'": "'", "\\prime": "'", "&": "&", ",": ",", ";": ";", ":": ":", "\\colon": ":", "|": "|", "\\vert": "|",
    "\\lvert": "|", "\\rvert": "|", "¤": "cur", "€": "cur", "£": "cur", "¥": "cur", "₹": "cur", "\\pounds": "cur",
    "\\bullet": "*",
    "\\times ": "*", "\\bmod": "mod", "\\mod": "mod", "\\pmod": "mod", "\\circ": "circ", "\\degree": "deg",
    "°": "deg", "?": "?",
    "\\dollar": "cur", "\\percent": "%", "\\#": "#", "\\Vert": "||", "\\|": "||", "\\lVert": "||", "\\rVert": "||",
    "\\euro": "cur",
}  # fmt: skip
CURRENCIES = {"¤": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee", "\\dollar": "dollar",
              "\\pounds": "sterling", "\\euro": "euro"}  # fmt: skip
OPENING = {"(": "(", "[": "[", "{": "{", "\\{": "\\{", "\\langle": "<", "\\lfloor": "floor", "\\lceil": "ceil",
            "\\lbrace": "\\{", "\\lbrack": "["}  # fmt: skip
CLOSING = {")": ")", "]": "]", "}": "}", "\\}": "\\}", "\\rangle": ">", "\\rfloor": "floor", "\\rceil": "ceil",
            "\\rbrace": "\\}", "\\rbrack": "]"}  # fmt: skip
ACCENTS = frozenset(
    str.split("bar hat vec tilde dot ddot overline underline widehat overrightarrow widetilde")
)
COMMANDS = frozenset(str.split("frac sqrt binom pi infty emptyset varnothing angle triangle"))
DOTS = frozenset(str.split("ldots dots cdots dotsc dotsb dotsm"))
STOPWORDS = frozenset(
    str.split(
        "a no on is to of in an at it if or so we he by as be am us go do my up per the and for are not all any one "
        "two six ten has "
        "was its him her yes now how day act add men cm mm km kg am pm mi ft is"
    )
)
SPELLED = {
    "pi": "\\pi",
    "infinity": "\\infty",
    "inf": "\\infty",
    "infty": "\\infty",
    "sqrt": "\\sqrt",
}
