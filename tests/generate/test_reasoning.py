import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.generate.reasoning import Parts, split
from stillhouse.marks import PRESETS
from stillhouse.models.engine import Completion
from stillhouse.params.teacher import Reasoning, ReasoningMarks
from stillhouse.records import frame_of
from tests.doubles.scripted_engine import stored

CASES = json.loads(Path(__file__).with_name("reasoning_cases.json").read_text(encoding="utf-8"))
FORMATS = ("none", "harmony", "separate_field", *PRESETS)
PLAIN = st.text(st.characters(exclude_characters="<>[]{}"), min_size=1).map(str.strip).filter(bool)
MARKED = st.lists(
    st.sampled_from(
        (
            *("<think>", "</think>", "<answer>", "</answer>", "a", " ", "\n", "4"),
            *("<|begin_of_thought|>", "<|end_of_thought|>"),
            *("<|begin_of_solution|>", "<|end_of_solution|>"),
        )
    )
).map("".join)


def completion(text: str, reasoning: str | None = None) -> Completion:
    return Completion(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, reasoning=reasoning
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['reasoning']}: {c['name']}")
def test_golden_case(case: dict):
    parts = split(completion(case["text"], case.get("field")), case["reasoning"])
    assert parts == Parts(case["think"], case["answer"])
    assert stored(case["text"], parts).text == case["text"]


def test_the_golden_cases_cover_every_format():
    assert {case["reasoning"] for case in CASES} == set(FORMATS)


@given(PLAIN, PLAIN)
def test_each_format_gives_back_what_was_written_in_it(think: str, answer: str):
    written = {
        "think_tags": completion(f"<think>\n{think}\n</think>\n\n{answer}"),
        "open_think": completion(f"{think}\n</think>\n\n{answer}"),
        "answer_tags": completion(f"<think>{think}</think> <answer>{answer}</answer>"),
        "thought_marks": completion(
            f"<|begin_of_thought|>\n\n{think}\n\n<|end_of_thought|>\n\n"
            f"<|begin_of_solution|>\n\n{answer}\n\n<|end_of_solution|>"
        ),
        "harmony": completion(
            f"<|channel|>analysis<|message|>{think}<|end|>"
            f"<|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
        ),
        "separate_field": completion(answer, think),
    }
    for name, marks in PRESETS.items():
        written.setdefault(name, completion(f"{marks.open[0]}{think}{marks.close[-1]}\n{answer}"))
    for reasoning, made in written.items():
        parts = split(made, reasoning)
        assert parts == (think, answer)
        # The frame has nothing of the parts: they are stored once.
        around = sum(map(len, frame_of(made.text, *parts)))
        inside = len(answer) if reasoning == "separate_field" else len(think) + len(answer)
        assert around == len(made.text) - inside
    assert split(completion(answer), "none") == ("", answer)


@given(MARKED, st.sampled_from(["think_tags", "open_think", "answer_tags"]))
def test_a_think_block_that_is_never_closed_has_no_answer(inside: str, reasoning: str):
    text = "<think>" + inside.replace("</think>", "")
    assert split(completion(text), reasoning).answer == ""
    assert split(completion(f"Well. {text}"), reasoning).answer == ""


@pytest.mark.parametrize("reasoning", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<|channel|>" + "a" * 200_000, id="a header"),
        pytest.param("<|channel|>a" * 20_000, id="headers"),
        pytest.param("<think>" * 30_000 + " " * 200_000, id="tags"),
        pytest.param(
            "<|begin_of_solution|>" + "<|end_of_solution|> " * 20_000 + "x", id="solutions"
        ),
        pytest.param("<answer>" * 30_000, id="answers"),
    ],
)
def test_hostile_text_costs_no_more_than_its_length(text: str, reasoning: Reasoning):
    started = time.process_time()
    split(completion(text), reasoning)
    assert time.process_time() - started < 2  # quadratic behaviour takes minutes


@given(MARKED, st.sampled_from(FORMATS))
def test_parts_are_stripped_pieces_of_the_text(text: str, reasoning: str):
    parts = split(completion(text), reasoning)
    for part in parts:
        assert part == part.strip()
        assert part in text
    assert stored(text, parts).text == text


CHANNELS = st.lists(
    st.sampled_from(
        (
            *("<|channel|>analysis", "<|channel|>final", "<|channel|>commentary", "<|message|>"),
            *("<|start|>assistant", "<|end|>", "<|return|>", "a", "4", " ", "\n"),
        )
    )
).map("".join)


@given(CHANNELS)
def test_no_text_of_gpt_oss_is_lost(text: str):
    parts = split(completion(text), "harmony")
    assert stored(text, parts).text == text


@given(st.text(), st.text())
def test_reasoning_that_comes_apart_is_not_in_the_frame(text: str, reasoning: str):
    parts = split(completion(text, reasoning), "separate_field")
    assert stored(text, parts).text == text


def test_reasoning_in_several_messages_stays_in_the_frame():
    text = "<|channel|>analysis<|message|>a<|end|><|channel|>analysis<|message|>b<|end|>"
    text += "<|channel|>final<|message|>4"
    parts = split(completion(text), "harmony")
    assert parts == ("a\n\nb", "4")
    assert frame_of(text, *parts) == [text.removesuffix("4"), ""]


@given(PLAIN, PLAIN)
def test_any_pair_of_marks_can_be_set(think: str, answer: str):
    pair = ReasoningMarks(open="[[", close="]]", answer_open="{{", answer_close="}}")
    assert split(completion(f"[[{think}]] {{{{{answer}}}}}"), pair) == (think, answer)
    assert split(completion(answer), pair) == ("", answer)
    unfinished = ReasoningMarks(open="[[", close="]]", prompt_opens=True)
    assert split(completion(answer), unfinished) == (answer, "")
