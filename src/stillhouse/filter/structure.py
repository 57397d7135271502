"""Structure of a conversation: turns alternate, the last is the assistant's, reasoning and answer are apart.

Paper section 2.3: an even number of turns, the last one the assistant's, explicit think and answer segments.
"""

from stillhouse.marks import ThinkMarks, stray_mark
from stillhouse.records import Query, Response


def structure_fault(
    query: Query, response: Response, *, require_think: bool, marks: ThinkMarks | None = None
) -> str | None:
    """Return why the conversation is malformed, or None.

    Args:
        query: the question, with the turns before it.
        response: the attempt at it.
        require_think: whether a response without reasoning is malformed.
        marks: those of the teacher's reasoning format; null if it has none of its own.
    """
    roles = [m.role for m in query.messages if m.role != "system"] + ["assistant"]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        return "turns"
    if not response.answer:
        return "no_answer"
    if require_think and not response.think:
        return "no_think"
    if stray_mark((response.think, response.answer), marks):
        return "stray_mark"
    return None
