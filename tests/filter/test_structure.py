import pytest

from stillhouse.filter.structure import structure_fault
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


@pytest.mark.parametrize("mark", ["<think>", "</think>", "<answer>", "</answer>"])
@pytest.mark.parametrize("part", ["think", "answer"])
def test_a_mark_inside_a_part(mark: str, part: str):
    made = response(**{"think": "a", "answer": "4", part: f"so {mark} it is"})
    assert structure_fault(query(), made, require_think=True) == "stray_mark"


def test_other_angle_brackets_are_no_marks():
    made = response(answer="if a < b and b > c: print('<b>')")
    assert structure_fault(query(), made, require_think=False) is None
