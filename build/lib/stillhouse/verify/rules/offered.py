"""Finds the options that a prompt offers: their letters and their texts."""

import re

from stillhouse.verify.rules.phrases import tokens

MAX_PROMPT_CHARS = 20_000  # only the end of a prompt is searched for options
MOST_ENDS = 6  # positions in a line at which the text of an option may end

# The forms of options, in the order of the tries: at line starts, in brackets, with dots within a line.
_MARKERS = (
    (re.compile(r"^[^\S\n]*(?:[-*•>][^\S\n]+)?(?:\*\*)?\(?([A-J])[).:](?:\*\*)?", re.MULTILINE), 2),
    (re.compile(r"(?<!\S)\(?([A-J])\)"), 2),
    (re.compile(r"(?<!\S)([A-J])[.:](?=\s)"), 3),
    (re.compile(r"^[^\S\n]*\(?([a-j])[).]", re.MULTILINE), 2),
)
LISTED = _MARKERS[0][0]
_TEXT_END = re.compile(
    r"[.;]\s|\s\(|⟧|,?\s(?:because|since|as|which)\b|,\s+(?:not|which)\b|\s[-–—]\s|[.;]?\s*$",
    re.IGNORECASE,
)


class Options:
    """The options that a prompt lists, by letter and by text."""

    def __init__(self, prompt: str):
        self.texts = _listed(prompt[-MAX_PROMPT_CHARS:])
        keys = {letter: tokens(text) for letter, text in self.texts.items()}
        folded = {letter: _plain_key(key) for letter, key in keys.items()}
        # A text that several options share identifies none of them.
        self._exact = _inverse(keys)
        self._folded = _inverse(folded)

    def offers(self, letter: str) -> bool:
        """Return whether a letter is the letter of an option; always true if the prompt lists no options."""
        return not self.texts or letter in self.texts

    def offers_small(self, letter: str) -> bool:
        """Return whether a lower-case letter is the letter of an option and not the text of one."""
        return self.offers(letter.upper()) and (letter,) not in self._exact

    def named(self, text: str) -> str | None:
        """Return the letter of the option with this text; the letter of an option does not count as a text."""
        key = tokens(text)
        if len(key) == 1 and key[0].upper() in self.texts:
            return None
        return self._exact.get(key) or self._folded.get(_plain_key(key))

    def named_first(self, rest: str) -> str | None:
        """Return the letter of the option whose text a line begins with, up to a position where the text may end."""
        ends = [len(rest), *[end.start() for end in _TEXT_END.finditer(rest)][:MOST_ENDS]]
        for end in sorted(ends, reverse=True):
            if letter := self.named(rest[:end]):
                return letter
        return None


def _listed(prompt: str) -> dict[str, str]:
    """Return the options of a prompt by letter: the last sequence A, B, ... of labels, each before a text."""
    for marker, least in _MARKERS:
        run: list[re.Match[str]] = []
        best: list[re.Match[str]] = []
        for found in marker.finditer(prompt):
            expected = chr(ord("A") + len(run))
            run = (
                [*run, found]
                if found[1].upper() == expected
                else [found]
                if found[1] in "Aa"
                else []
            )
            if len(run) >= least:
                best = list(run)
        if best:
            ends = [following.start() for following in best[1:]] + [len(prompt)]
            return {
                found[1].upper(): prompt[found.end() : end].strip().split("\n", 1)[0].rstrip(" ,;")
                for found, end in zip(best, ends, strict=True)
            }
    return {}


def _plain_key(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(token.casefold() for token in key)


def _inverse(keys: dict[str, tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    every = list(keys.values())
    return {key: letter for letter, key in keys.items() if key and every.count(key) == 1}
