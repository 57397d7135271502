"""The arguments of constraints, as columns of a table."""

from typing import TypedDict


class ConstraintArguments(TypedDict):
    """The arguments of constraints in a table: those of the 25 IFEval checkers, and `demand`.

    Each has a column of its type, so that the table needs no JSON inside strings. A constraint has few of them.
    """

    capital_frequency: int
    capital_relation: str
    demand: str
    end_phrase: str
    first_word: str
    forbidden_words: list[str]
    frequency: int
    keyword: str
    keywords: list[str]
    language: str
    let_frequency: int
    let_relation: str
    letter: str
    nth_paragraph: int
    num_bullets: int
    num_highlights: int
    num_paragraphs: int
    num_placeholders: int
    num_sections: int
    num_sentences: int
    num_words: int
    postscript_marker: str
    prompt_to_repeat: str
    relation: str
    section_spliter: str


CONSTRAINT_KWARGS = frozenset(ConstraintArguments.__annotations__)
