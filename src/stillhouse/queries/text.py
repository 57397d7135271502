r"""How the texts of queries and benchmark items are normalised and cut into words, to be compared.

The same text is published with and without LaTeX, so words do not depend on notation: `\dfrac{1}{2}`, `\frac12`, `½`
and `1/2` are the words 1, /, 2; `\left`, `$`, `\text{}`, spacing and fonts are nothing; `\le` is `≤`; `1,000`,
`1{,}000`, `1000` and `thousand` are one number. Numbers and arithmetic signs are words of their own, because problems
differ in little else. Each word knows its place in the text, so that evidence can be quoted as it was written.
"""

import re
import unicodedata
from typing import NamedTuple

from stillhouse.records import Query
from stillhouse.records import nfc as nfc

_LETTER = r"[^\W\d_⁰¹²³⁴-⁹₀-₉]"
_TOKEN = re.compile(
    rf"""(?P<drop>\\(?:begin|end)\s*\{{[a-zA-Z]+\*?\}}|\\[,;:!\\\ ()\[\]])
    |(?P<fraction>\\[dtc]?frac\s*(?P<top>\d)\s*(?P<bottom>\d))
    |(?P<degree>\^\s*\{{?\s*\\circ\b\s*\}}?|°)
    |(?P<command>\\[a-zA-Z]+)
    |(?P<number>\d{{1,3}}(?:(?:,|\{{,\}}|\\,|,\\!)\d{{3}})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)
    |(?P<raised>[⁰¹²³⁴-⁹]+)
    |(?P<lowered>[₀-₉]+)
    |(?P<ideograph>[぀-ヿ㐀-鿿])
    |(?P<word>{_LETTER}+)
    |(?P<sign><=|>=|!=|==|(?<=[\w)\]}}])\*\*(?=[\w(])|(?<!\*)\*(?!\*)|[+/^=<>%−×÷·∙⋅≤≥≠±√∞]
        |(?<=\d)–(?=\d)|(?<!{_LETTER})-|-(?!{_LETTER})|(?<!{_LETTER}{_LETTER})-(?!{_LETTER}{_LETTER}))
    |(?P<open>[(\[{{])|(?P<close>[)\]}}])""",
    re.VERBOSE,
)
_ONE_ARGUMENT = re.compile(r"\s*(?:\\[a-zA-Z]+|[^\s{}])")
_FRACTIONS = frozenset({"frac", "dfrac", "tfrac", "cfrac"})
# Commands that say how a text looks, not what it says.
_FONTS_AND_SPACES = """
left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr middle text textbf textit textrm textsf texttt
textup textnormal mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak operatorname mbox hbox fbox emph
boldsymbol bm displaystyle textstyle scriptstyle limits nolimits quad qquad hspace vspace hfill noindent par item
label tag nonumber mathop mathrel mathbin ensuremath underline bf it rm sf tt
"""
_LOOKS = frozenset(_FONTS_AND_SPACES.split())
_SAME = {
    **dict.fromkeys(("leq", "leqslant", "le", "≤"), "<="),
    **dict.fromkeys(("geq", "geqslant", "ge", "≥"), ">="),
    **dict.fromkeys(("neq", "ne", "≠"), "!="),
    **dict.fromkeys(("cdot", "times", "ast", "×", "·", "∙", "⋅"), "*"),
    **dict.fromkeys(("div", "÷"), "/"),
    **dict.fromkeys(("pm", "±"), "±"),
    **dict.fromkeys(("−", "–"), "-"),
    **dict.fromkeys(("infty", "∞"), "infinity"),
    "√": "sqrt",
    "**": "^",
    "==": "=",
    "lt": "<",
    "gt": ">",
    "circ": "degree",
    "varphi": "phi",
    "vartheta": "theta",
    "varepsilon": "epsilon",
    "varrho": "rho",
    **dict.fromkeys(("dots", "ldots", "cdots", "vdots", "ddots"), ""),
}
# "one" is left out: it is a pronoun as often as a number.
_COUNTED = """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty"""
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_NUMBER_WORDS = {
    **{word: str(number) for number, word in enumerate(_COUNTED.split(), start=2)},
    **{word: str(10 * number) for number, word in enumerate(_TENS.split(), start=3)},
    "zero": "0",
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
}
MAX_ARGUMENT = 2000  # characters of a numerator; a brace that is never closed must not cost a pass over the text


class Word(NamedTuple):
    """A word as it is compared, and its place in the text."""

    text: str
    start: int
    end: int


class _Token(NamedTuple):
    text: str
    start: int
    end: int
    kind: str  # word, number, sign, open or close


def folded(text: str) -> str:
    """Return the text without differences of case, of space, or of Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", nfc(text).casefold()).split())


def words(text: str) -> list[Word]:
    """Return the words, numbers and arithmetic signs of a text in order, without notation (see the module)."""
    return [
        Word(token.text, token.start, token.end)
        for token in _tokens(text)
        if token.kind != "open" and token.kind != "close"
    ]


def is_number(word: str) -> bool:
    """Tell whether a word of `words` is a number."""
    return word[0].isdigit()


def quantities(text: str) -> tuple[str, ...]:
    """Return what two texts must share to be the same problem, in order.

    These are the numbers, the arithmetic signs beside a number, a single letter or another sign, and the brackets
    around such signs: 2 * (3 + 4) is not 2 * 3 + 4.
    """
    return _quantities(_tokens(text))


def words_and_quantities(text: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the texts of `words` and what `quantities` returns, with one pass over the text."""
    tokens = _tokens(text)
    return [t.text for t in tokens if t.kind != "open" and t.kind != "close"], _quantities(tokens)


def conversation_text(query: Query) -> str:
    """Return all turns of a query as one text, each after its role."""
    return "\n\n".join(f"{message.role}: {message.content}" for message in query.messages)


def _quantities(tokens: list[_Token]) -> tuple[str, ...]:
    plain = [i for i, token in enumerate(tokens) if token.kind != "open" and token.kind != "close"]
    counts = {i for i in plain if tokens[i].kind == "number"}
    signs = [at for at, i in enumerate(plain) if tokens[i].kind == "sign"]
    for at in signs:
        beside = [plain[j] for j in (at - 1, at + 1) if 0 <= j < len(plain)]
        if any(_is_symbol(tokens[j]) for j in beside):
            counts.add(plain[at])
    if signs:
        counts |= _brackets(tokens, counts)
    shown = {"open": "(", "close": ")"}
    return tuple(shown.get(tokens[i].kind, tokens[i].text) for i in sorted(counts))


def _brackets(tokens: list[_Token], counts: set[int]) -> set[int]:
    """Return the places of the brackets around signs that count."""
    opened: list[int] = []
    found: set[int] = set()
    for i, token in enumerate(tokens):
        if token.kind == "open":
            opened.append(i)
        elif token.kind == "close" and opened:
            start = opened.pop()
            if any(tokens[j].kind == "sign" and j in counts for j in range(start + 1, i)):
                found |= {start, i}
    return found


def _is_symbol(token: _Token) -> bool:
    return token.kind in ("number", "sign") or len(token.text) == 1


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    slashes: list[int] = []  # where the numerators that are open now end, the next one last
    for match in _TOKEN.finditer(text):
        kind, start, end = str(match.lastgroup), match.start(), match.end()
        while slashes and slashes[-1] <= start:
            found.append(_Token("/", slashes[-1], slashes.pop(), "sign"))
        if kind in ("bottom", "fraction"):
            for part, part_kind in (
                (match["top"], "number"),
                ("/", "sign"),
                (match["bottom"], "number"),
            ):
                found.append(_Token(part, start, end, part_kind))
        elif kind == "command":
            name = match.group()[1:]
            name = name.lower() if name.isupper() else name
            if name in _FRACTIONS:
                slashes.append(_argument_end(text, end))
                slashes.sort(reverse=True)
            elif name not in _LOOKS:
                said = _SAME.get(name, name.casefold())
                if said:
                    found.append(_Token(said, start, end, "word" if said[0].isalpha() else "sign"))
        elif kind != "drop":
            found.extend(_plain(match.group(), start, end, kind))
    found.extend(_Token("/", end, end, "sign") for end in reversed(slashes) if end < len(text))
    return found


def _plain(said: str, start: int, end: int, kind: str) -> list[_Token]:
    """Return the tokens of a match that is no LaTeX command: mostly one."""
    if kind == "number":
        digits = "".join(c for c in said if c.isdigit() or c == ".")
        if not digits.isascii():
            digits = unicodedata.normalize("NFKC", digits)
        return [_Token("0" + digits if digits[0] == "." else digits, start, end, "number")]
    if kind == "degree":
        return [_Token("degree", start, end, "word")]
    if kind in ("raised", "lowered"):
        number = _Token(unicodedata.normalize("NFKC", said), start, end, "number")
        return [_Token("^", start, end, "sign"), number] if kind == "raised" else [number]
    if kind == "sign":
        said = _SAME.get(said, said)
        return [_Token(said, start, end, "word" if said.isalpha() else "sign")]
    if kind in ("open", "close"):
        return [_Token(said, start, end, kind)]
    if said.isascii():
        lower = said.lower()
        digits = _NUMBER_WORDS.get(lower, "")
        return [_Token(digits or lower, start, end, "number" if digits else "word")]
    return _foreign(said, start, end)


def _foreign(said: str, start: int, end: int) -> list[_Token]:
    """Return the tokens of a word outside ASCII: Greek letters by name, compatibility characters in full."""
    whole = unicodedata.normalize("NFKC", said)
    if whole != said and any(not c.isalpha() for c in whole):  # such as a vulgar fraction
        return [
            _Token(token.text, start, end, token.kind)
            for token in _tokens(whole.replace("\u2044", "/"))
        ]
    if len(whole) == 1 and (name := unicodedata.name(whole, "")).startswith("GREEK"):
        whole = name.split()[3] if name.split()[2] == "LETTER" and len(name.split()) == 4 else whole
    return [_Token(whole.casefold(), start, end, "word")]


def _argument_end(text: str, start: int) -> int:
    """Return where the LaTeX argument that begins at `start` ends; an open brace ends nowhere."""
    brace = start
    while brace < len(text) and text[brace].isspace():
        brace += 1
    if brace == len(text):
        return brace
    if text[brace] != "{":
        match = _ONE_ARGUMENT.match(text, start)
        return match.end() if match else start
    depth = 0
    for i in range(brace, min(len(text), brace + MAX_ARGUMENT)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i + 1
    return len(text)
