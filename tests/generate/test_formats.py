"""Layouts of published sets and servers against every setting: what fits passes, what does not is named."""

import pytest

from stillhouse.generate.formats import SAMPLE, FormatCheck, FormatError
from stillhouse.models.engine import Completion
from stillhouse.params.teacher import Reasoning, ReasoningMarks
from tests.doubles.scripted_engine import said

THINK, ANSWER = "41 times 4 is 164. Take away 14: 150.", "The answer is \\boxed{150}."
WRITTEN: dict[str, Completion] = {
    "none": said(ANSWER),
    "think_tags": said(f"<think>\n{THINK}\n</think>\n\n{ANSWER}"),
    "open_think": said(f"{THINK}\n</think>\n\n{ANSWER}"),
    "answer_tags": said(f"<think>{THINK}</think><answer>{ANSWER}</answer>"),
    "thought_marks": said(
        f"<|begin_of_thought|>\n\n{THINK}\n\n<|end_of_thought|>\n\n"
        f"<|begin_of_solution|>\n\n{ANSWER}\n\n<|end_of_solution|>"
    ),
    "bracket_think": said(f"[THINK]{THINK}[/THINK]{ANSWER}"),
    "kimi_think": said(f"◁think▷{THINK}◁/think▷{ANSWER}"),
    "seed_think": said(f"<seed:think>{THINK}</seed:think>{ANSWER}"),
    "mm_think": said(f"<mm:think>{THINK}</mm:think>{ANSWER}"),
    "thought_tags": said(f"<thought>{THINK}</thought>{ANSWER}"),
    "thinking_tags": said(f"<thinking>{THINK}</thinking>{ANSWER}"),
    "granite_sentences": said(
        f"Here is my thought process:\n{THINK}\nHere is my response:\n{ANSWER}"
    ),
    "harmony": said(
        f"<|channel|>analysis<|message|>{THINK}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>"
    ),
    "separate_field": said(ANSWER, reasoning=THINK),
}
# A format that reads another one's answers in full.
ALSO_FITS = {("think_tags", "open_think"), ("think_tags", "none"), ("open_think", "think_tags")}


def stopped(reasoning: Reasoning, *completions: Completion, count: int = SAMPLE) -> str | None:
    """Return what a run of so many answers stops with; null if it goes on."""
    check = FormatCheck("alpha", reasoning)
    try:
        for number in range(count):
            check.add(completions[number % len(completions)])
        check.require_fitting()
    except FormatError as error:
        return str(error)
    return None


@pytest.mark.parametrize("setting", WRITTEN)
@pytest.mark.parametrize("written", WRITTEN)
def test_each_setting_stops_for_each_other_format_and_names_it(setting: str, written: str):
    told = stopped(setting, WRITTEN[written])
    if setting == written or (setting, written) in ALSO_FITS:
        assert told is None
    else:
        assert told is not None
        assert f"conf/teachers/alpha.yaml, under `teacher`:\n  reasoning: {written}\n" in told


def test_the_stop_comes_with_the_twentieth_finished_answer_and_not_before():
    check = FormatCheck("alpha", "none")
    for _ in range(SAMPLE - 1):
        check.add(WRITTEN["think_tags"])
        check.add(said("<think>cut", "length"))
    with pytest.raises(FormatError, match="20 of the first 20 finished"):
        check.add(WRITTEN["think_tags"])


def test_half_of_the_answers_is_not_enough():
    assert stopped("none", WRITTEN["think_tags"], WRITTEN["none"]) is None
    told = stopped("none", WRITTEN["think_tags"], WRITTEN["think_tags"], WRITTEN["none"])
    assert "14 of the first 20" in (told or "")


def test_a_run_of_four_queries_is_checked_at_its_end():
    assert "4 of the first 4" in (stopped("open_think", WRITTEN["separate_field"], count=4) or "")
    assert stopped("none", count=0) is None


def test_one_answer_with_the_field_is_enough_for_a_model_that_seldom_thinks():
    assert stopped("separate_field", WRITTEN["separate_field"], *[WRITTEN["none"]] * 9) is None


def test_own_marks():
    pair = ReasoningMarks(open="((", close="))")
    assert stopped(pair, said(f"(({THINK})){ANSWER}")) is None
    assert "reasoning: think_tags\n" in (stopped(pair, WRITTEN["think_tags"]) or "")
    told = stopped(pair, WRITTEN["none"]) or ""
    assert '`reasoning: {open: "((", close: "))"}` does not fit' in told
    assert "none of the marks of this setting" in told
    assert "reasoning: none\n" in told
    assert stopped(ReasoningMarks(open="((", close="))", required=False), WRITTEN["none"]) is None


def test_special_tokens_that_the_server_removed_are_thought_of():
    told = stopped("harmony", said(f"analysis{THINK}assistantfinal{ANSWER}"))
    assert "skip_special_tokens: false" in (told or "")


def test_without_a_fitting_format_a_pair_of_marks_is_asked_for():
    leaking = said(f"</think>{ANSWER}", reasoning=THINK)
    assert '  reasoning: {open: "<my_thoughts>"' in (stopped("separate_field", leaking) or "")


def test_control_tokens_in_most_answers_stop_the_run_which_would_reject_them_all():
    boxed = said(f"<think>{THINK}</think><|begin_of_box|>{ANSWER}<|end_of_box|>")
    told = stopped("think_tags", boxed) or ""
    assert "the mark <|begin_of_box|>" in told
    assert "let the server leave control tokens out" in told
    glm = {"answer_open": "<|begin_of_box|>", "answer_close": "<|end_of_box|>"}
    assert stopped(ReasoningMarks(open="<think>", close="</think>", **glm), boxed) is None
    assert "the mark <tool_call>" in (stopped("none", said("<tool_call>{}</tool_call>")) or "")
