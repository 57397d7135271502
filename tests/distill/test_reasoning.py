import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.distill.reasoning import Parts, split
from stillhouse.models.engine import Completion

CASES = json.loads(Path(__file__).with_name("reasoning_cases.json").read_text(encoding="utf-8"))
FORMATS = ("none", "think_tags", "open_think", "answer_tags", "separate_field")
PLAIN = st.text(st.characters(exclude_characters="<>"), min_size=1).map(str.strip).filter(bool)
MARKED = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", " ", "\n", "4"])
).map("".join)


def completion(text: str, reasoning: str | None = None) -> Completion:
    return Completion(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, reasoning=reasoning
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['reasoning']}: {c['name']}")
def test_golden_case(case: dict):
    parts = split(completion(case["text"], case.get("field")), case["reasoning"])
    assert parts == Parts(case["think"], case["answer"])


def test_the_golden_cases_cover_every_format():
    assert {case["reasoning"] for case in CASES} == set(FORMATS)


@given(PLAIN, PLAIN)
def test_each_format_gives_back_what_was_written_in_it(think: str, answer: str):
    written = {
        "think_tags": completion(f"<think>\n{think}\n</think>\n\n{answer}"),
        "open_think": completion(f"{think}\n</think>\n\n{answer}"),
        "answer_tags": completion(f"<think>{think}</think> <answer>{answer}</answer>"),
        "separate_field": completion(answer, think),
    }
    for reasoning, made in written.items():
        assert split(made, reasoning) == (think, answer)
    assert split(completion(answer), "none") == ("", answer)


@given(MARKED, st.sampled_from(["think_tags", "open_think", "answer_tags"]))
def test_a_think_block_that_is_never_closed_has_no_answer(inside: str, reasoning: str):
    text = "<think>" + inside.replace("</think>", "")
    assert split(completion(text), reasoning).answer == ""
    assert split(completion(f"Well. {text}"), reasoning).answer == ""


@given(MARKED, st.sampled_from(FORMATS))
def test_parts_are_stripped_pieces_of_the_text(text: str, reasoning: str):
    for part in split(completion(text), reasoning):
        assert part == part.strip()
        assert part in text
