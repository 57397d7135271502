"""Nothing of a key is shown, whole or cut, in whatever encoding."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from stillhouse.models.api_key import PIECE, SHOWN_CHARS, Secrets, read_key
from stillhouse.models.engine import EngineError

KEY = 'sk-proj/4nT+x"Q&9zK<v~Wm=7'
ENCODED = {
    "plain": KEY,
    "upper": KEY.upper(),
    "json": json.dumps(KEY)[1:-1],
    "json with slashes": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "url": quote(KEY),
    "url whole": quote(KEY, safe=""),
    "form": quote_plus(KEY),
    "html": html.escape(KEY),
    "hex": KEY.encode().hex(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "basic of another length": base64.b64encode(f"me:{KEY}".encode()).decode(),
}


def left(shown: str, form: str) -> list[str]:
    """Return the pieces of a form that a text still has."""
    pieces = (form[i : i + PIECE] for i in range(len(form) - PIECE + 1))
    return [piece for piece in pieces if piece in shown]


@pytest.mark.parametrize("name", ENCODED)
def test_an_encoded_key_is_hidden_whole_and_at_every_cut(name: str) -> None:
    secrets = Secrets(KEY)
    form = ENCODED[name]
    # Of base64 only the characters that the key alone decides can be told from other text.
    known = form[8:-4] if "ba" in name else form
    for start in range(len(form)):
        shown = secrets.shown(f"wrong key: {form[start:]} was given")
        assert not left(shown, known)
        assert shown.startswith("wrong key: ")
        assert shown.endswith(" was given")
        assert not left(secrets.shown(f"wrong key: {form[: len(form) - start]}"), known)


def test_the_text_is_cut_after_hiding() -> None:
    secrets = Secrets(KEY)
    for before in range(SHOWN_CHARS - len(KEY) - 5, SHOWN_CHARS + 5):
        shown = secrets.shown(b"." * before + KEY.encode() + b"." * 400)
        assert len(shown) <= SHOWN_CHARS
        assert not left(shown, KEY)
        assert KEY[:PIECE] not in shown


def test_a_text_without_a_key_is_shown_as_it_is_in_one_line() -> None:
    assert Secrets(KEY).shown(b"no\n such\tmodel: \xff\x1b[0m") == "no such model: \ufffd\ufffd[0m"
    assert Secrets(None).shown("plain") == "plain"
    assert Secrets("-").shown("a-b") == "a-b"


def test_a_reply_that_repeats_the_key_is_kept_without_it() -> None:
    body = json.dumps({"content": f"You sent {KEY}"}).encode()
    assert json.loads(Secrets(KEY).hide_whole(body)) == {"content": "You sent ***"}


def test_the_password_of_a_proxy_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:s3cr%40tpw@proxy.invalid:3128")
    shown = Secrets(None).shown("cannot connect: s3cr@tpw, s3cr%40tpw")
    assert shown == "cannot connect: ***, ***"


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}"])
def test_white_space_around_a_key_is_taken_off(
    around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", around.format(KEY))
    assert read_key("THE_KEY") == KEY


@pytest.mark.parametrize("key", ["made\nup-key", "made up-key", "made\x07up-key", "mädeup-key"])
def test_a_key_that_no_header_can_hold_is_named_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(EngineError, match="THE_KEY") as raised:
        read_key("THE_KEY")
    assert "up-key" not in str(raised.value)


def test_a_key_that_is_missing_or_empty_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(EngineError, match="THE_KEY"):
        read_key("THE_KEY")
    monkeypatch.setenv("THE_KEY", " \n")
    with pytest.raises(EngineError, match="THE_KEY"):
        read_key("THE_KEY")
    assert read_key(None) is None
