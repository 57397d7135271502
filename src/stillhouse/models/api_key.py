"""The API key of an endpoint: read from the environment, and hidden in everything that is printed or stored."""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit
from urllib.request import getproxies

from stillhouse.models.engine import EngineError

HIDDEN = "***"
# So many characters of a key in a row are hidden, wherever the text was cut; fewer do not identify it.
PIECE = 6
SHORTEST = 4  # a shorter value, such as the `-` that some servers ask for, is no secret
SHOWN_CHARS = 300
READ_CHARS = (
    4000  # of a long body; hidden pieces make the text shorter before it is cut to SHOWN_CHARS
)


def read_key(variable: str | None) -> str | None:
    """Return the API key in an environment variable, without white space and line ends around it.

    Raises:
        EngineError: the variable is not set, or the key cannot stand in an HTTP header. The message does not show it.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip().strip("\ufeff").strip()
    if not key:
        raise EngineError(f"set the environment variable {variable} to the API key")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise EngineError(
            f"the API key in the environment variable {variable} has a space, a control character such as a line end, "
            "or a character outside ASCII in the middle; set the variable to the key alone"
        )
    return key


class Secrets:
    """Hides an API key and the passwords of proxies in texts: whole or cut, plain or encoded."""

    def __init__(self, key: str | None) -> None:
        values = [key, *_proxy_passwords()]
        self._forms = {
            form for value in values if value and len(value) >= SHORTEST for form in _forms(value)
        }
        self._pieces: dict[int, set[str]] = {}
        for form in self._forms:
            length = min(PIECE, len(form))
            pieces = self._pieces.setdefault(length, set())
            pieces.update(_lower(form[i : i + length]) for i in range(len(form) - length + 1))
        self._whole = [form.encode() for form in sorted(self._forms, key=len, reverse=True)]

    def shown(self, content: bytes | str) -> str:
        """Return the first `SHOWN_CHARS` characters of a text in one line, with every piece of a secret hidden."""
        text = content if isinstance(content, str) else content.decode(errors="replace")
        line = " ".join(self.hide(text[:READ_CHARS]).split())
        return "".join(c if c.isprintable() else "\ufffd" for c in line)[:SHOWN_CHARS]

    def hide(self, text: str) -> str:
        """Return a text with `PIECE` or more characters in a row of a secret replaced, in upper or lower case."""
        lower = _lower(text)
        hidden = bytearray(len(text))
        for length, pieces in self._pieces.items():
            for i in range(len(text) - length + 1):
                if lower[i : i + length] in pieces:
                    hidden[i : i + length] = b"\1" * length
        runs = re.split(rb"(\x01+)", bytes(hidden))
        parts, at = [], 0
        for run in runs:
            parts.append(HIDDEN if run.startswith(b"\1") else text[at : at + len(run)])
            at += len(run)
        return "".join(parts)

    def hide_whole(self, content: bytes) -> bytes:
        """Return the body of a reply with whole secrets replaced; it is quick where there is none."""
        for form in self._whole:
            if form in content:
                content = content.replace(form, HIDDEN.encode())
        return content


def _proxy_passwords() -> Iterator[str]:
    for proxy in getproxies().values():
        try:
            password = urlsplit(proxy).password
        except ValueError:
            continue
        if password:
            yield from {password, unquote(password)}


def _forms(value: str) -> Iterable[str]:
    """Return a secret as a text may contain it: plain, or in the escapes of JSON, URL, HTML, base64 and hex."""
    raw = value.encode()
    in_json = json.dumps(value)[1:-1]
    yield from (value, in_json, in_json.replace("/", "\\/"), html.escape(value), raw.hex())
    yield from (quote(value), quote(value, safe=""), quote_plus(value))
    for before in range(
        3
    ):  # base64 of a longer text, such as user:password, depends on the position
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encoded(b"\0" * before + raw).decode().rstrip("=")
            # The first and last characters also depend on what is next to the secret.
            first = -(-before * 8 // 6)
            yield whole[first : (before + len(raw)) * 8 // 6]


def _lower(text: str) -> str:
    """Return a text of the same length with ASCII letters in lower case."""
    return text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
