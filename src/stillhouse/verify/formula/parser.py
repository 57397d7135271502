"""The tree of a formula from its tokens, by recursive descent; what has no place in the grammar is an error."""

import re
from fractions import Fraction

from stillhouse.verify.formula.errors import TooComplexError, UnreadError
from stillhouse.verify.formula.literal import from_words
from stillhouse.verify.formula.node import Node, num
from stillhouse.verify.formula.tokens import Token, is_accent_dropped, tokenise
from stillhouse.verify.formula.words import QUALIFIERS, dimension

MAX_NESTING = 20  # brackets within brackets; the parser is recursive
MAX_APPLIED = 60  # functions of functions, and brackets
MAX_TOKENS = 600
MAX_DEPTH = 200  # of the tree: the terms of a sum are nested too

# Words that may stand before a result and say nothing about it.
_FILLERS = frozenset(
    str.split(
        "the answer is are a an about approximately approx exactly only just total of final result value roughly "
        "around equals be "
        "there so thus hence therefore it both"
    )
)
# Words with which a condition begins.
_CONDITIONS = frozenset(str.split("for if when where with such while whenever provided unless as"))
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{4}/\d{1,2}/\d{1,2}")
_ONLY_WORDS = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s?\{([A-Za-z .-]*)\}|([A-Za-z .-]*)")
_CALLED = frozenset("fgFG")  # these letters before a bracket are functions, any other is a factor
_STARTS = frozenset(("num", "sym", "fn", "cmd", "accent", "begin"))


def parse(text: str, variables: frozenset[str] = frozenset(), thousands: bool = True) -> Node:
    """Return the tree of a text that `notation.clean` returned.

    Args:
        text: a formula, a number with its unit, a list of them, or words.
        variables: letters that are variables and no units.
        thousands: whether `1,234` outside brackets is one number.

    Raises:
        UnreadError: something in the text has no place in the grammar.
        TooComplexError: the text is outside the bounds.
    """
    if _DATE.fullmatch(text):
        raise UnreadError("a date")  # no difference or quotient of its parts
    words = _ONLY_WORDS.fullmatch(text)
    if words and (named := from_words(words[1] or words[2])):
        return named
    tokens = tokenise(text, variables, thousands)
    if not tokens:
        raise UnreadError("nothing")
    if len(tokens) > MAX_TOKENS:
        raise TooComplexError(f"{len(tokens)} tokens, at most {MAX_TOKENS}")
    depth = deepest = 0
    for token in tokens:
        depth += (token.kind in ("open", "begin")) - (token.kind in ("close", "end"))
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        raise TooComplexError(f"{deepest} nested brackets, at most {MAX_NESTING}")
    tree = _Parser(tokens, text).whole()
    if _depth(tree) > MAX_DEPTH:
        raise TooComplexError(f"more than {MAX_DEPTH} operations on one another")
    return tree


def _depth(tree: Node) -> int:
    level, deepest = [tree], 0
    while level:
        level = [arg for node in level for arg in node.args]
        deepest += 1
    return deepest


class _Parser:
    def __init__(self, tokens: list[Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.i = 0
        self.bars = 0
        self.in_set = False  # where a bar begins a condition
        self.depth = self.nested = 0

    # What stands next.

    def peek(self, ahead: int = 0) -> Token:
        at = self.i + ahead
        return (
            self.tokens[at] if at < len(self.tokens) else Token("end of text", "", len(self.text))
        )

    def next(self) -> Token:
        token = self.peek()
        self.i += 1
        return token

    def at(self, kind: str, *texts: str) -> bool:
        token = self.peek()
        return token.kind == kind and (not texts or token.text in texts)

    def take(self, kind: str, *texts: str) -> bool:
        if self.at(kind, *texts):
            self.i += 1
            return True
        return False

    def expect(self, kind: str, text: str) -> None:
        if not self.take(kind, text):
            raise self.unread()

    def unread(self) -> UnreadError:
        return UnreadError(f"{self.text[self.peek().start :][:30]!r}")

    # Lists and statements.

    def whole(self) -> Node:
        tree = self.items()
        if self.peek().kind != "end of text":
            raise self.unread()
        return tree

    def items(self) -> Node:
        """Read statements apart by commas, semicolons, `and` or `or`; one of them is returned as it is."""
        found = [self.statement()]
        separators: set[str] = set()
        while self.at("sep") or self.at("op", ",", ";", "&"):
            while self.at("sep") or self.at("op", ",", ";", "&"):
                separators.add(self.next().text)
            if self.peek().kind in ("end of text", "close"):
                break
            if self.at("word") and self.peek().text.lower() in _CONDITIONS and self.bars == 0:
                return self.noted(
                    found[0] if len(found) == 1 else Node("list", tuple(found), _joint(separators))
                )
            found.append(self.statement())
        return found[0] if len(found) == 1 else Node("list", tuple(found), _joint(separators))

    def noted(self, tree: Node) -> Node:
        """Add the rest of the text to a tree as a condition, which is compared as text."""
        note = self.text[self.peek().start :]
        self.i = len(self.tokens)
        return Node(
            "noted", (tree,), " ".join(re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", note).split())
        )

    def statement(self) -> Node:
        leading = self.leading()
        if leading is not None and (
            self.at("sep") or self.peek().kind in ("end of text", "close", "op")
        ):
            return Node("word", name=leading)
        blank = Node("blank")
        if self.at("rel"):
            if leading is None and self.take("rel", "=", "~"):
                tree = self.chain(None)
            else:
                tree = self.chain(blank if leading is None else Node("sym", name=leading))
        else:
            tree = self.chain(None)
            if leading is not None:
                tree = self.led(leading, tree)
        if self.at("word") and self.peek().text.lower() in _CONDITIONS:
            return self.noted(tree)
        return tree

    def leading(self) -> str | None:
        """Read the words before a formula, or a name in words before an equals sign."""
        if self.at("word") and self.peek().text.lower() in _CONDITIONS:
            raise self.unread()
        end = self.i
        while end < len(self.tokens) and self.tokens[end].kind in ("word", "sym", "num", "cmd"):
            end += 1
        following = self.tokens[end] if end < len(self.tokens) else None
        span = self.tokens[self.i : end]
        named = following is not None and (
            following.text in ("=", ":") and following.kind in ("rel", "op")
        )
        if named and span and any(token.kind == "word" for token in span) and span[0].kind != "num":
            if {token.text.lower() for token in span} & (QUALIFIERS | _CONDITIONS):
                raise self.unread()
            self.i = end
            self.take("op", ":")
            name = " ".join(token.text for token in span)
            return name if self.at("rel") else "the answer is"
        words = []
        while self.at("word"):
            words.append(self.next().text)
        return " ".join(words) if words else None

    def led(self, words: str, tree: Node) -> Node:
        """Return a tree with the words before it: some say nothing, some change it, others are not known."""
        lower = set(words.lower().split())
        if lower <= _FILLERS:
            return tree
        if words.lower() in ("minus", "negative"):
            return Node("neg", (tree,))
        if lower & QUALIFIERS:
            return Node("unit", (tree,), f"{words} ...")
        if words.lower().rstrip(".") in ("rs", "usd", "eur", "inr", "gbp"):
            return Node("unit", (tree,), words)
        last = words.lower().split()[-1]
        if last in ("is", "are", "equals", "be"):
            return Node("rel", (Node("sym", name=words), tree), "=")
        raise UnreadError(f"{words!r}")

    def chain(self, first: Node | None) -> Node:
        """Read expressions apart by relations."""
        sides = [self.ratio() if first is None else first]
        relations = []
        while self.at("rel") and not (self.at("rel", "|") and (self.bars or self.in_set)):
            relations.append(self.next().text)
            sides.append(self.ratio())
        return Node("rel", tuple(sides), " ".join(relations)) if relations else sides[0]

    def ratio(self) -> Node:
        parts = [self.modular()]
        while self.at("op", ":") and self.peek(1).kind in ("num", "sym", "cmd", "open"):
            self.next()
            parts.append(self.modular())
        return parts[0] if len(parts) == 1 else Node("ratio", tuple(parts))

    def modular(self) -> Node:
        tree = self.quantity()
        bracket = self.at("open", "(") and (self.peek(1).text == "mod")
        if bracket or self.at("op", "mod") or self.at("word", "mod"):
            self.i += 2 if bracket else 1
            modulus = self.sum()
            if bracket:
                self.expect("close", ")")
            return Node("mod", (tree, modulus))
        return tree

    def quantity(self) -> Node:
        """Read a sum with the words behind it; several in a row (1 hour 30 minutes) are one quantity."""
        if self.at("cur"):
            unit = self.next().text
            tree = Node("unit", (self.sum(),), unit)
            words = self.words()
            return Node("unit", tree.args, f"{unit} {words}") if words and words != unit else tree
        if self.at("op", "-", "+") and self.peek(1).kind == "cur":
            negative = self.next().text == "-"
            unit = self.next().text
            tree = self.sum()
            self.words()
            return Node("unit", (Node("neg", (tree,)) if negative else tree,), unit)
        tree = self.sum()
        if self.at("cur"):
            return Node("unit", (tree,), self.next().text)
        words = self.words()
        if not words:
            return tree
        if words.lower() in ("percent", "per cent", "pct"):
            return Node("percent", (tree,))
        tree = Node("unit", (tree,), words)
        parts = [tree]
        while self.at("num") or self.joins_quantity(words):
            self.take("sep", "and")
            number = self.sum()
            words = self.words()
            if not words:
                raise self.unread()
            parts.append(Node("unit", (number,), words))
        return tree if len(parts) == 1 else Node("compound", tuple(parts))

    def joins_quantity(self, words: str) -> bool:
        """Whether `and` goes on with a smaller unit: 1 hour and 30 minutes."""
        if not (
            self.at("sep", "and") and self.peek(1).kind == "num" and self.peek(2).kind == "word"
        ):
            return False
        first, second = dimension(words), dimension(self.peek(2).text)
        return bool(first and second and first[0] == second[0] and first[1] > second[1])

    def words(self) -> str:
        found: list[str] = []
        while (
            self.at("word")
            and self.peek().text.lower() not in _CONDITIONS
            and self.peek().text != "mod"
        ):
            found.append(self.next().text)
            if self.at("op", "^") and self.peek(1).kind == "num":
                self.next()
                found[-1] += f"^{self.next().text}"
            if self.at("op", "/") and self.peek(1).kind == "word":
                self.next()
                found.append("/")
        return " ".join(found)

    # Arithmetic.

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > 8 * MAX_NESTING:
            raise TooComplexError("nested too deeply")
        tree = self.signed()
        while self.at("op", "+", "-", "pm", "mp", "cup", "cap", "minus"):
            operator = self.next().text
            if operator in ("cup", "cap", "minus"):
                tree = Node("setop", (tree, self.signed()), operator)
                continue
            right = Node("dots") if self.take("dots") else self.term()
            if operator in ("pm", "mp"):
                tree = Node("pm", (tree, right), operator)
            else:
                tree = Node("add", (tree, right if operator == "+" else Node("neg", (right,))))
        self.depth -= 1
        return tree

    def signed(self) -> Node:
        if self.take("op", "-"):
            return Node("neg", (self.term(),))
        if self.take("op", "+"):
            return self.term()
        if self.at("op", "pm", "mp"):
            sign = self.next().text
            return Node("pm", (self.term(),), sign)
        return self.term()

    def term(self) -> Node:
        tree = self.factor()
        while True:
            if self.take("op", "*"):
                tree = Node("mul", (tree, self.signed_factor()))
            elif self.take("op", "/"):
                tree = Node("div", (tree, self.signed_factor()))
            elif self.starts_factor():
                tree = Node("mul", (tree, self.factor()))
            else:
                return tree

    def signed_factor(self) -> Node:
        if self.take("op", "-"):
            return Node("neg", (self.factor(),))
        self.take("op", "+")
        return self.factor()

    def starts_factor(self) -> bool:
        """Whether a factor follows without a sign between; a number never does."""
        token = self.peek()
        if token.kind in _STARTS:
            return token.kind != "num"
        if token.kind == "open":
            return token.text in ("(", "{", "[", "floor", "ceil") and self.peek(1).text != "mod"
        return token.kind == "op" and token.text == "|" and self.bars == 0

    def factor(self) -> Node:
        return self.postfix(self.base())

    def postfix(self, tree: Node) -> Node:
        while True:
            if self.at("op", "^"):
                self.next()
                raised = () if self.degree() else (self.argument(exponent=True),)
                tree = Node("pow" if raised else "degree", (tree, *raised))
            elif self.take("op", "deg"):
                tree = Node("degree", (tree,))
            elif self.take("op", "!"):
                tree = Node("fact", (tree,))
            elif self.take("op", "%"):
                tree = Node("percent", (tree,))
            elif self.at("op", "_") and tree.op == "num":
                self.next()
                base = self.argument()
                if base.op != "num" or tree.value is None:
                    raise self.unread()
                tree = Node("based", (tree, base))
            else:
                return tree

    def degree(self) -> bool:
        if self.take("op", "circ"):
            return True
        if self.at("open", "{") and self.peek(1).text == "circ" and self.peek(2).text == "}":
            self.i += 3
            return True
        return False

    def argument(self, exponent: bool = False) -> Node:
        """Read what a command, `^` or `_` takes: a group in braces, a bracket, or one token."""
        if self.at("open", "{"):
            return self.base()
        if exponent and self.at("op", "-", "+"):
            negative = self.next().text == "-"
            tree = self.argument()
            return Node("neg", (tree,)) if negative else tree
        if self.at("num") and not exponent:
            token = self.next()
            if len(token.text) > 1 and token.text.isdigit():
                rest = token.text[1:]
                self.i -= 1
                self.tokens[self.i] = Token("num", rest, token.start + 1, False, Fraction(rest))
                return num(int(token.text[0]))
            return _number(token)
        if self.at("num"):
            return _number(self.next())
        if self.peek().kind in ("sym", "cmd", "accent", "fn") or self.at("open", "("):
            return self.base()
        raise self.unread()

    def base(self) -> Node:
        self.nested += 1
        if self.nested > MAX_APPLIED:
            raise TooComplexError(f"more than {MAX_APPLIED} functions of functions")
        tree = self.bare()
        self.nested -= 1
        return tree

    def bare(self) -> Node:
        token = self.peek()
        if token.kind == "num":
            return self.number()
        if token.kind in ("sym", "accent"):
            return self.symbol()
        if token.kind == "fn":
            return self.function()
        if token.kind == "cmd":
            return self.command()
        if token.kind == "open":
            return self.group()
        if token.kind == "begin":
            return self.matrix()
        if token.kind == "dots":
            self.next()
            return Node("dots")
        if token.kind == "op" and token.text in ("|", "||"):
            self.next()
            self.bars += 1
            inner = self.sum()
            self.expect("op", token.text)
            self.bars -= 1
            return Node("abs", (inner,)) if token.text == "|" else Node("fn", (inner,), "norm")
        raise self.unread()

    def number(self) -> Node:
        token = self.next()
        tree = _number(token)
        if not token.text.isdigit():
            return tree
        start = self.i
        if self.at("cmd", "frac"):  # 2\frac{1}{3}
            fraction = self.command()
            if all(
                part.op == "num" and part.value and part.value.denominator == 1
                for part in fraction.args
            ):
                return Node("mixed", (tree, fraction))
            self.i = start
        elif self.at("num") and self.peek(1).text == "/" and self.peek(2).kind == "num":  # 2 1/3
            texts = [self.peek(ahead).text for ahead in (0, 2)]
            if all(text.isdigit() and int(text) for text in texts):
                self.i += 3
                return Node("mixed", (tree, Node("div", (num(int(texts[0])), num(int(texts[1]))))))
        return tree

    def symbol(self) -> Node:
        if self.at("accent"):
            accent = self.next().text
            braced = self.take("open", "{")
            name = ""
            while self.at("sym") or self.at("num"):
                name += self.next().text
                if not braced:
                    break
            if braced:
                self.expect("close", "}")
            if not name:
                raise self.unread()
            if not is_accent_dropped(accent, name):
                name = f"{accent} {name}"
        else:
            name = self.next().text
        if self.at("op", "_"):
            self.next()
            name += f"_{self.subscript()}"
        primes = ""
        while self.at("op", "'") or (self.at("op", "^") and self.peek(1).text == "'"):
            self.i += 1 if self.at("op", "'") else 2
            primes += "'"
        if self.at("op", "^") and self.peek(1).text == "{" and self.peek(2).text == "'":
            self.i += 2
            while self.take("op", "'"):
                primes += "'"
            self.expect("close", "}")
        name += primes
        if name == "e":
            return Node("const", name="e")
        if name == "RR":
            return Node("reals")
        if (name in _CALLED or primes) and self.at("open", "("):
            return Node("fn", _arguments(self.group()), name)
        return Node("sym", name=name)

    def subscript(self) -> str:
        if not self.at("open", "{"):
            token = self.next()
            if token.kind not in ("num", "sym", "word"):
                raise UnreadError(f"subscript {token.text!r}")
            return token.text
        self.next()
        texts = []
        while not self.at("close", "}"):
            token = self.next()
            if token.kind in ("end of text", "open", "close"):
                raise self.unread()
            texts.append(token.text)
        self.next()
        return " ".join(texts)

    def function(self) -> Node:
        name = self.next().text
        base: Node | None = None
        power: Node | None = None
        while self.at("op", "_", "^", "'"):
            sign = self.next().text
            if sign == "_":
                base = self.argument()
            elif sign == "^":
                power = self.argument(exponent=True)
            else:
                name += "'"
        if (
            power is not None
            and power.op == "neg"
            and power.args[0] == num(1)
            and name in ("sin", "cos", "tan", "cot")
        ):
            name, power = f"arc{name}", None
        if self.at("open"):
            arguments = _arguments(self.group())
        elif self.at("op", "|"):
            arguments = (self.base(),)
        else:
            inner = self.signed_factor()
            while self.peek().kind in ("sym", "cmd", "num", "accent") and not self.at("num"):
                inner = Node("mul", (inner, self.factor()))
            arguments = (inner,)
        if base is not None:
            if name != "log":
                raise UnreadError(f"a subscript of {name}")
            arguments = (*arguments, base)
        tree = Node("fn", arguments, name)
        return tree if power is None else Node("pow", (tree, power))

    def command(self) -> Node:
        name = self.next().text
        if name == "frac":
            start = self.i
            over, under = self.argument(), self.argument()
            return self.derivative(start) or Node("div", (over, under))
        if name == "sqrt":
            index = self.group() if self.at("open", "[") else None
            inner = _number(self.next()) if self.at("num") else self.argument()
            return Node("fn", (inner,) if index is None else (inner, index), "sqrt")
        if name == "binom":
            return Node("fn", (self.argument(), self.argument()), "binom")
        if name in ("pi", "infty"):
            return Node("const", name=name)
        if name == "emptyset":
            return Node("empty")
        if name == "group":
            return self.argument()
        if name in ("angle", "triangle"):
            texts = []
            while self.at("sym"):
                texts.append(self.next().text)
            return Node("sym", name=f"{name} {''.join(texts)}")
        raise self.unread()

    def derivative(self, start: int) -> Node | None:
        r"""Return dy/dx as one symbol where a fraction that began at `start` is one."""
        texts = [t.text for t in self.tokens[start : self.i] if t.text not in "{}"]
        if texts and texts[0] in ("d", "partial") and texts.count(texts[0]) > 1:
            if len(texts) == 4 and texts[2] == texts[0]:
                return Node("sym", name=f"d{texts[1]}/d{texts[3]}")
            raise UnreadError("a derivative")
        return None

    def group(self) -> Node:
        opening = self.next().text
        bars, self.bars = self.bars, 0
        in_set, self.in_set = self.in_set, opening == "\\{"
        if self.at("close") and not (self.at("close", "}") and opening != "{"):
            closing = self.next().text
            self.bars, self.in_set = bars, in_set
            if opening == closing.replace("}", "{"):
                return Node("empty") if opening == "\\{" else Node("group", (), "()")
            raise self.unread()
        tree = self.items()
        if opening == "\\{" and (self.at("op", "|", ":") or self.at("rel", "|")):
            self.next()
            tree = Node("builder", (tree, self.items()))
        elif opening == "(" and self.at("num") and tree.op == "num":
            parts = [tree]
            while self.at("num"):
                parts.append(_number(self.next()))
            tree = Node("group", tuple(parts), "( )")
        if not self.at("close"):
            raise self.unread()
        closing = self.next().text
        self.bars, self.in_set = bars, in_set
        return _grouped(opening, closing, tree)

    def matrix(self) -> Node:
        self.next()
        rows: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while not self.at("end"):
            row.append(self.chain(None))
            if self.take("op", "&"):
                continue
            if self.take("op", "\\\\") or self.at("end"):
                rows.append(tuple(row))
                row = []
                continue
            raise self.unread()
        self.next()
        if not rows or len({len(row) for row in rows}) != 1:
            raise UnreadError("a matrix with rows of unlike length")
        return Node("matrix", tuple(Node("row", row) for row in rows))


def _number(token: Token) -> Node:
    return Node("num", value=token.value, digits=token.digits, places=token.places)


def _joint(separators: set[str]) -> str:
    return "or" if "or" in separators else "and" if "and" in separators else ","


def _arguments(group: Node) -> tuple[Node, ...]:
    return group.args if group.op in ("list", "group") else (group,)


def _grouped(opening: str, closing: str, tree: Node) -> Node:
    """Return what a pair of brackets holds: the thing itself, an ordered tuple or interval, or a set."""
    if opening in ("floor", "ceil"):
        if closing != opening:
            raise UnreadError(f"{opening} that is not closed")
        return Node("fn", (tree,), opening)
    if opening == "\\{":
        if closing != "\\}":
            raise UnreadError("a set that is not closed")
        if tree.op == "builder":
            return tree
        return Node("group", tree.args if tree.op == "list" else (tree,), "{}")
    if opening == "{" or closing == "}":
        if (opening, closing) != ("{", "}"):
            raise UnreadError("braces that are not closed")
        return tree
    if opening == "<" or closing == ">":
        if (opening, closing) != ("<", ">"):
            raise UnreadError("angle brackets that are not closed")
        return Node("group", tree.args if tree.op == "list" else (tree,), "<>")
    if closing not in (")", "]"):
        raise UnreadError(f"{opening} closed by {closing}")
    if tree.op != "list":
        if opening + closing in ("()", "[]"):
            return tree
        raise UnreadError(f"{opening} closed by {closing}")
    return Node("group", tree.args, opening + closing)
