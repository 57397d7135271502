import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from stillhouse.queries.text import folded, nfc, quantities, words
from stillhouse.records import Message, query_id

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_nfc_is_idempotent_and_does_not_depend_on_how_the_text_was_composed(text: str) -> None:
    assert nfc(nfc(text)) == nfc(text)
    assert nfc(unicodedata.normalize("NFD", text)) == nfc(text)
    assert unicodedata.is_normalized("NFC", nfc(text))


@given(TEXT)
def test_folding_is_idempotent_and_blind_to_space(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(f"\r\n {text}\t") == folded(text)


@given(TEXT)
def test_an_id_is_that_of_the_normalised_text(text: str) -> None:
    def id_of(content: str) -> str:
        return query_id([Message(role="user", content=nfc(content))])

    assert id_of(unicodedata.normalize("NFD", text)) == id_of(f" {text}\r\n")


@given(TEXT)
def test_words_stand_where_they_say(text: str) -> None:
    found = words(text)
    places = [(word.start, word.end) for word in found]
    assert places == sorted(places)
    for start, end in places:
        alone = [word.text for word in words(text[start:end])]
        assert alone == [word.text for word in found if (word.start, word.end) == (start, end)]


def test_words_keep_numbers_and_signs() -> None:
    assert [w.text for w in words("What is 7 - 4.5, or 1,200*x?")] == [
        *("what", "is", "7", "-", "4.5", "or", "1200", "*", "x"),
    ]


def test_quantities_are_numbers_and_the_signs_beside_them() -> None:
    assert quantities("A well-known sum: 7 + 4 = 11.") == ("7", "+", "4", "=", "11")
    assert quantities("3 - 8") != quantities("8 - 3")
    assert quantities("9 - 2") != quantities("9 + 2")
    assert quantities("a re-entry, and / or") == ()
