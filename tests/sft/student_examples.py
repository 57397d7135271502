from pathlib import Path

from stillhouse.records import Example, Message, example_id, query_id
from stillhouse.sft.chosen import StepBudget, write_ids
from stillhouse.tables.read import read_table

TEMPLATE = Path("conf/chat_templates/smollm2.jinja")


def all_ids(examples: Path) -> Path:
    """Write the ids of all examples beside them, as stage `fit` does without a budget, and return their folder."""
    ids = examples.parent / "ids"
    write_ids(ids, [row.query_id for row in read_table(examples, Example)], StepBudget(None))
    return ids


def example(
    number: int, answer: str, think: str = "", turns: int = 1, teacher: str = "teacher"
) -> Example:
    messages = [Message(role="user", content=f"What is {number} + {number}?")]
    for turn in range(1, turns):
        messages.append(Message(role="assistant", content=f"It is {turn}."))
        messages.append(Message(role="user", content=f"Are you sure, {turn} times?"))
    return Example(
        id=example_id(query_id(messages), teacher),
        query_id=query_id(messages),
        category="math",
        source="made_up",
        source_license="cc0-1.0",
        messages=messages,
        ground_truth=str(2 * number),
        language=None,
        setup=None,
        entry_point=None,
        tests=[],
        constraints=[],
        teacher=teacher,
        model="model",
        model_revision="0" * 40,
        attempt=0,
        seed=1,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        think=think,
        answer=answer,
        verify_score=1.0,
        verifier="rule",
        perplexity=1.0,
        fingerprint="0" * 16,
    )
