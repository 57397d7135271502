"""Parses arithmetic: sums, products, powers, functions, brackets, matrices."""

from abc import ABC, abstractmethod
from fractions import Fraction

from stillhouse.verify.formula.brackets import bracketed
from stillhouse.verify.formula.cursor import Cursor
from stillhouse.verify.formula.errors import TooComplexError, UnreadError
from stillhouse.verify.formula.node import Node, num
from stillhouse.verify.formula.tokens import Token, is_accent_dropped

MAX_NESTING = 20  # nested brackets; the parser is recursive
MAX_APPLIED = 60  # nested functions and brackets
_CALLED = frozenset(
    "fgFG"
)  # before a bracket these letters are functions, any other letter is a factor
_STARTS = frozenset(("num", "sym", "fn", "cmd", "accent", "begin"))


class Arithmetic(Cursor, ABC):
    """Parses the text between two separators. The derived parser parses the content of brackets."""

    @abstractmethod
    def items(self) -> Node:
        """Parse the content of brackets."""

    @abstractmethod
    def chain(self, first: Node | None) -> Node:
        """Parse an entry of a matrix."""

    def sum(self) -> Node:
        """Parse terms that are separated by plus, minus, plus-or-minus, or an operation of sets."""
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
        """Parse a term with its sign."""
        if self.take("op", "-"):
            return Node("neg", (self.term(),))
        if self.take("op", "+"):
            return self.term()
        if self.at("op", "pm", "mp"):
            sign = self.next().text
            return Node("pm", (self.term(),), sign)
        return self.term()

    def term(self) -> Node:
        """Parse factors that are separated by a sign of multiplication or division, or by nothing."""
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
        """Parse a factor after a multiplication sign, with its own sign."""
        if self.take("op", "-"):
            return Node("neg", (self.factor(),))
        self.take("op", "+")
        return self.factor()

    def starts_factor(self) -> bool:
        """Return whether a factor follows without a sign; a number never does."""
        token = self.peek()
        if token.kind in _STARTS:
            return token.kind != "num"
        if token.kind == "open":
            return token.text in ("(", "{", "[", "floor", "ceil") and self.peek(1).text != "mod"
        return token.kind == "op" and token.text == "|" and self.bars == 0

    def factor(self) -> Node:
        """Parse a factor with the superscripts and signs after it."""
        return self.postfix(self.base())

    def postfix(self, tree: Node) -> Node:
        """Parse powers, degree and percent signs, factorials and a base after a factor, and add them to its tree."""
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
        """Consume a degree sign that is written as a raised circle; return whether there was one."""
        if self.take("op", "circ"):
            return True
        if self.at("open", "{") and self.peek(1).text == "circ" and self.peek(2).text == "}":
            self.i += 3
            return True
        return False

    def argument(self, exponent: bool = False) -> Node:
        """Parse the argument of a command, `^` or `_`: a group in braces, a bracket, or one token."""
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
        """Parse one operand; the nesting of operands is bounded."""
        self.nested += 1
        if self.nested > MAX_APPLIED:
            raise TooComplexError(f"more than {MAX_APPLIED} functions of functions")
        tree = self.bare()
        self.nested -= 1
        return tree

    def bare(self) -> Node:
        """Parse one operand according to the kind of its first token."""
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
        """Parse a number, or a whole mixed number."""
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
        """Parse a variable with accent, index and primes, or a named function with its arguments."""
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
        """Parse the content of an index and return it as text."""
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
        """Parse a standard function with its power, base and arguments."""
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
        """Parse a fraction, root, binomial or constant of LaTeX."""
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
        r"""Return dy/dx as one symbol, if the fraction that began at `start` is a derivative."""
        texts = [t.text for t in self.tokens[start : self.i] if t.text not in "{}"]
        if texts and texts[0] in ("d", "partial") and texts.count(texts[0]) > 1:
            if len(texts) == 4 and texts[2] == texts[0]:
                return Node("sym", name=f"d{texts[1]}/d{texts[3]}")
            raise UnreadError("a derivative")
        return None

    def group(self) -> Node:
        """Parse a pair of brackets with its content."""
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
        return bracketed(opening, closing, tree)

    def matrix(self) -> Node:
        """Parse a matrix."""
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


def _arguments(group: Node) -> tuple[Node, ...]:
    return group.args if group.op in ("list", "group") else (group,)
