"""Hashes of contents and files, and seeds made from a text."""

import hashlib
import json
import unicodedata
from pathlib import Path

ID_HEX_DIGITS = 32  # 128 bits: no collision to be expected below 1e18 rows


def content_hash(*parts: str) -> str:
    """Return the id of content given as text parts: 32 hex digits of a sha256 over their NFC forms.

    Parts are framed as JSON, so that ("ab", "c") and ("a", "bc") differ.
    """
    framed = json.dumps([unicodedata.normalize("NFC", part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()[:ID_HEX_DIGITS]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex, read in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seed_of(text: str) -> int:
    """Return a seed of 63 bits: the first of a sha256 of the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
