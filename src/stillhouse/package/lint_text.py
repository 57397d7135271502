"""Finds forbidden content in released texts: secrets, private addresses, wrongly decoded text.

Arrow's regular expressions select the few candidates of a batch; only those are checked by detect-secrets and Python.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

# The detectors of detect-secrets for keys with a recognisable form. Detectors by entropy, keywords or addresses are
# left out, because they report ordinary mathematics, code and chat.
SECRET_DETECTORS = (
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")  # detect-secrets 1.5 does not know it
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
# Mail providers for persons. An address at another host counts as private if it looks like a person's name.
_PERSONAL_HOSTS = re.compile(
    r"^(?:gmail|googlemail|yahoo|ymail|hotmail|outlook|live|msn|icloud|aol|gmx|web|t-online|mail|yandex|qq|163|126"
    r"|protonmail|orange|free|libero)\.(?:[a-z]{2,3}|co\.[a-z]{2}|com\.[a-z]{2})$|^(?:me\.com|proton\.me)$"
)
# Reserved for documentation and tests (RFC 2606, RFC 6761).
_RESERVED_HOSTS = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost)$"
)
_NAME = re.compile(r"^[a-z]{2,}[._][a-z]{2,}\d{0,4}$", re.IGNORECASE)
# U+FFFD, and UTF-8 that was decoded as Latin-1 or Windows-1252 and encoded again.
_MOJIBAKE = re.compile(
    "\ufffd|\u00ef\u00bb\u00bf|\u00c3[\u0080-\u00bf]|\u00c2[\u00a0-\u00bf]"
    "|\u00e2\u20ac[\u0080-\u009d\u2018-\u203a\u0153\u00a2\u00a6\u02dc\u2122]"
)


class TextFault(NamedTuple):
    """A fault in one text: position of the row in the batch, rule, and a description without the text itself."""

    position: int
    rule: str
    what: str


def text_faults(batch: pa.RecordBatch, columns: list[str]) -> Iterator[TextFault]:
    """Yield the faults of the texts in some columns, nested columns included."""
    for name in columns:
        for rows, texts in text_leaves(batch.column(name), pa.array(range(batch.num_rows))):
            suspects = pc.match_substring_regex(texts, _suspect_pattern())
            for hit in pc.indices_nonzero(pc.fill_null(suspects, False)).to_pylist():
                for rule, what in faults_of(texts[hit].as_py()):
                    yield TextFault(rows[hit].as_py(), rule, f"{what} in `{name}`")


def faults_of(text: str) -> list[tuple[str, str]]:
    """Return rule and description of each fault of one text."""
    found = [("secret", kind) for kind in secrets_in(text)]
    found += [("email", address) for address in private_addresses(text)]
    if _MOJIBAKE.search(text):
        found.append(("mojibake", "wrongly decoded text"))
    return found


def secrets_in(text: str) -> list[str]:
    """Return the kinds of secrets that a text seems to contain."""
    return sorted(kind for kind, search in _detectors().items() if search(text))


def private_addresses(text: str) -> list[str]:
    """Return a description of each e-mail address that looks like a person's, without the address itself."""
    found = []
    for match in _EMAIL.finditer(text):
        local, _, host = match.group().partition("@")
        host = host.lower()
        if _RESERVED_HOSTS.search(host):
            continue
        if _PERSONAL_HOSTS.match(host) or _NAME.match(local):
            found.append(f"an e-mail address at {host}")
    return found


def text_leaves(column: pa.Array, rows: pa.Array) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield the text arrays inside a column, each with the row of every text; `rows` has those of the column."""
    if pa.types.is_string(column.type):
        yield rows, column
    elif pa.types.is_list(column.type):
        parents = rows.take(pc.list_parent_indices(column))
        yield from text_leaves(pc.list_flatten(column), parents)
    elif pa.types.is_struct(column.type):
        for child in column.flatten():
            yield from text_leaves(child, rows)


@cache
def _plugins() -> Mapping[str, Any]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    return {
        kind: plugin()
        for kind, plugin in get_mapping_from_secret_type_to_class().items()
        if plugin.__name__ in SECRET_DETECTORS
    }


@cache
def _suspect_pattern() -> str:
    """Return one RE2 pattern that matches all faults, and slightly more, because RE2 has no look-ahead."""
    parts = [_HUB_TOKEN.pattern, r"@[A-Za-z0-9-]+\.", _MOJIBAKE.pattern]
    for plugin in _plugins().values():
        for regex in plugin.denylist:
            loose = regex.pattern.replace(r"(?!\w)", "")
            loose = re.sub(r"\{(\d+),\d+\}", r"{\1,}", loose)
            parts.append(f"(?i:{loose})" if regex.flags & re.IGNORECASE else f"(?:{loose})")
    return "|".join(parts)


@cache
def _detectors() -> dict[str, Callable[[str], bool]]:
    """Return a search function for each kind of secret. The online verification of the detectors is not used."""
    detectors: dict[str, Callable[[str], bool]] = {
        "Hugging Face token": lambda text: bool(_HUB_TOKEN.search(text))
    }
    for kind, plugin in _plugins().items():
        detectors[kind] = _search(plugin)
    return detectors


def _search(plugin: Any) -> Callable[[str], bool]:
    return lambda text: any(True for _ in plugin.analyze_string(text))
