"""Parses the tokens of a text to a tree by recursive descent; any token outside the grammar is an error.

This module parses lists, statements and quantities with their words. `arithmetic.py` parses arithmetic.
"""

import re

from stillhouse.verify.formula.arithmetic import MAX_NESTING, Arithmetic
from stillhouse.verify.formula.errors import TooComplexError, UnreadError
from stillhouse.verify.formula.literal import from_words
from stillhouse.verify.formula.node import Node
from stillhouse.verify.formula.tokens import tokenise
from stillhouse.verify.formula.words import QUALIFIERS, dimension

MAX_TOKENS = 600
MAX_DEPTH = 200  # depth of the tree; the terms of a sum are nested too

# Words before a result that do not change its meaning.
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


def parse(text: str, variables: frozenset[str] = frozenset(), thousands: bool = True) -> Node:
    """Return the tree of a text that `notation.clean` returned.

    Args:
        text: a formula, a number with its unit, a list of them, or words.
        variables: letters that are variables and not units.
        thousands: whether `1,234` outside brackets is one number.

    Raises:
        UnreadError: something in the text has no place in the grammar.
        TooComplexError: the text is outside the bounds.
    """
    if _DATE.fullmatch(text):
        raise UnreadError("a date")  # and not a difference or quotient of its parts
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


class _Parser(Arithmetic):
    def whole(self) -> Node:
        tree = self.items()
        if self.peek().kind != "end of text":
            raise self.unread()
        return tree

    def items(self) -> Node:
        """Parse statements separated by commas, semicolons, `and` or `or`; a single one is returned without a list."""
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
        """Parse the words before a formula, or a name in words before an equals sign."""
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
        """Return a tree with the words before it: some have no effect, some change the tree, others are unknown."""
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
        """Parse expressions that are separated by relations."""
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
        """Parse a sum with the words after it; several in a row (1 hour 30 minutes) are one quantity."""
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
        """Return whether `and` continues a quantity with a smaller unit: 1 hour and 30 minutes."""
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


def _joint(separators: set[str]) -> str:
    return "or" if "or" in separators else "and" if "and" in separators else ","
