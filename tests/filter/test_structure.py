import pytest

from stillhouse.filter.structure import structure_fault
from stillhouse.marks import HARMONY_CHANNEL, PRESETS, SENTENCES, stray_mark
from stillhouse.params.teacher import ReasoningMarks, marks_of
from tests.filter.graded import query, response


def test_a_whole_conversation_has_no_fault():
    for roles in (["user"], ["system", "user"], ["user", "assistant", "user"]):
        assert structure_fault(query(roles), response(think="a"), require_think=True) is None


@pytest.mark.parametrize(
    "roles",
    [
        ["user", "user"],
        ["user", "assistant"],
        ["assistant", "user"],
        ["user", "assistant", "assistant", "user"],
        ["user", "assistant", "user", "user"],
        ["system"],
    ],
)
def test_turns_that_do_not_alternate(roles: list[str]):
    assert structure_fault(query(roles), response(), require_think=False) == "turns"


def test_an_empty_answer():
    assert structure_fault(query(), response(answer=""), require_think=False) == "no_answer"


def test_reasoning_is_required_only_where_asked_for():
    assert structure_fault(query(), response(think=""), require_think=True) == "no_think"
    assert structure_fault(query(), response(think=""), require_think=False) is None


STRAY = [
    *("<think>", "</think>", "<answer>", "</answer>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷"),
    *("<seed:think>", "</mm:think>", "<thought>", "</thinking>", "<|begin_of_thought|>"),
    *("<|begin_of_box|>", "<tool_call>", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>"),
    *("<|channel|>", "<|message|>", "<|start|>", "<|return|>", "<end_of_turn>"),
]


@pytest.mark.parametrize("mark", STRAY)
@pytest.mark.parametrize("part", ["think", "answer"])
def test_a_mark_inside_a_part(mark: str, part: str):
    made = response(**{"think": "a", "answer": "4", part: f"so {mark} it is"})
    assert structure_fault(query(), made, require_think=True) == "stray_mark"


def test_other_angle_brackets_are_no_marks():
    for text in (
        "if a < b and b > c: print('<b>')",
        "<|x|> = f <| g |> h; [think] <s>old</s> a || b",
    ):
        assert structure_fault(query(), response(answer=text), require_think=False) is None


def test_a_teachers_own_marks_are_stray_in_its_answers_alone():
    own = marks_of(ReasoningMarks(open="((think))", close="((/think))"))
    for marks, mark in (
        (own, "((/think))"),
        (PRESETS["granite_sentences"], "Here is my response:"),
    ):
        made = response(answer=f"so {mark} it is")
        assert structure_fault(query(), made, require_think=False) is None
        found = structure_fault(query(), made, require_think=False, marks=marks)
        assert found == "stray_mark"


def test_every_mark_of_a_preset_but_sentences_is_known_as_stray():
    marks = {mark for preset in PRESETS.values() for mark in preset.all} - set(SENTENCES)
    for mark in marks | {HARMONY_CHANNEL}:
        assert stray_mark(["", f"so {mark}"]) == mark
