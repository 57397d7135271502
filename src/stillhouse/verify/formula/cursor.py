"""The place of a parser in a row of tokens."""

from stillhouse.verify.formula.errors import UnreadError
from stillhouse.verify.formula.tokens import Token


class Cursor:
    """Looks at the next tokens of a text and takes them."""

    def __init__(self, tokens: list[Token], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.i = 0
        self.bars = 0
        self.in_set = False  # where a bar begins a condition
        self.depth = self.nested = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the next token, or one after it."""
        at = self.i + ahead
        return (
            self.tokens[at] if at < len(self.tokens) else Token("end of text", "", len(self.text))
        )

    def next(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self.i += 1
        return token

    def at(self, kind: str, *texts: str) -> bool:
        """Whether the next token is of a kind, and one of some texts."""
        token = self.peek()
        return token.kind == kind and (not texts or token.text in texts)

    def take(self, kind: str, *texts: str) -> bool:
        """Take the next token where it is of a kind and text."""
        if self.at(kind, *texts):
            self.i += 1
            return True
        return False

    def expect(self, kind: str, text: str) -> None:
        """Take a token that must be there.

        Raises:
            UnreadError: another one is there.
        """
        if not self.take(kind, text):
            raise self.unread()

    def unread(self) -> UnreadError:
        """Return an error that names what stands next."""
        return UnreadError(f"{self.text[self.peek().start :][:30]!r}")
