"""Holds the position of a parser in a list of tokens."""

from stillhouse.verify.formula.errors import UnreadError
from stillhouse.verify.formula.tokens import Token


class Cursor:
    """Peeks at the next tokens of a text and consumes them."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.i = 0
        self.bars = 0
        self.in_set = False  # inside a set, where a bar begins a condition
        self.depth = self.nested = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the next token, or the one `ahead` tokens after it, without consuming it."""
        at = self.i + ahead
        return (
            self.tokens[at] if at < len(self.tokens) else Token("end of text", "", len(self.text))
        )

    def next(self) -> Token:
        """Consume and return the next token."""
        token = self.peek()
        self.i += 1
        return token

    def at(self, kind: str, *texts: str) -> bool:
        """Return whether the next token has this kind and, if texts are given, one of these texts."""
        token = self.peek()
        return token.kind == kind and (not texts or token.text in texts)

    def take(self, kind: str, *texts: str) -> bool:
        """Consume the next token if it has this kind and text; return whether it has."""
        if self.at(kind, *texts):
            self.i += 1
            return True
        return False

    def expect(self, kind: str, text: str) -> None:
        """Consume a token that must be next.

        Raises:
            UnreadError: the next token is another one.
        """
        if not self.take(kind, text):
            raise self.unread()

    def unread(self) -> UnreadError:
        """Return an error that names the next token."""
        return UnreadError(f"{self.text[self.peek().start :][:30]!r}")
