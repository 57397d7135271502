"""Section with the teachers' answers to one query of each category, side by side."""

from collections.abc import Mapping

from stillhouse.records import CATEGORIES, Example
from stillhouse.report.formats import count, number
from stillhouse.report.inputs import RunFiles
from stillhouse.report.page import Block, SideBySide, TeacherAnswer, Text

ANSWER_CHARS = 4000  # longer answers are cut on the page; the released table has the whole text
THINK_CHARS = 8000


def samples(files: RunFiles, names: Mapping[str, str]) -> list[Block]:
    """Return the chosen queries with the answer of each teacher."""
    if not files.chosen:
        return [
            Text("No query was answered by every teacher, so no answers are shown side by side.")
        ]
    blocks: list[Block] = [
        Text(
            "One query of each category in the parallel set: the first by id. Ids are hashes, so the choice is blind."
        )
    ]
    found = [examples for examples in files.chosen.values() if examples]
    found.sort(key=lambda examples: CATEGORIES.index(next(iter(examples.values())).category))
    for examples in found:
        one = next(iter(examples.values()))
        blocks.append(
            SideBySide(
                f"{one.category}: query {one.query_id[:12]} from {one.source}",
                _question(one),
                [
                    _answer(names[teacher], examples[teacher])
                    for teacher in names
                    if teacher in examples
                ],
            )
        )
    return blocks


def _question(example: Example) -> str:
    messages = list(example.messages)
    while len(messages) > 1 and messages[-1].role == "assistant":
        messages.pop()
    if len(messages) == 1:
        return _cut(messages[0].content, ANSWER_CHARS)
    turns = (f"{message.role}: {message.content}" for message in messages)
    return _cut("\n\n".join(turns), ANSWER_CHARS)


def _answer(name: str, example: Example) -> TeacherAnswer:
    facts = (
        f"attempt {example.attempt + 1}, {count(example.completion_tokens, 'token')}, score "
        f"{example.verify_score:.2f} by {example.verifier}, perplexity {number(example.perplexity, 2)}"
    )
    return TeacherAnswer(
        name, facts, _cut(example.think, THINK_CHARS), _cut(example.answer, ANSWER_CHARS)
    )


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {len(text):,} characters in all]"
