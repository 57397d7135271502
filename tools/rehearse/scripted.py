"""Scripted completions in a teacher's format, from the split to the rules of the filter, as the teacher's file says.

Tiny models write marks because they were made so. What a family writes where it goes wrong is scripted here: a block
that is never closed, a second block, a control token in the text.
"""

from collections.abc import Iterator

from stillhouse.errors import StillhouseError
from stillhouse.filter.attempts import example
from stillhouse.filter.rules import Rules
from stillhouse.generate.formats import FormatCheck
from stillhouse.generate.reasoning import split
from stillhouse.models.engine import Completion
from stillhouse.params.filter import Filter
from stillhouse.params.teacher import TeacherFile, marks_of
from stillhouse.records import (
    CATEGORIES,
    Example,
    Message,
    Perplexity,
    Query,
    Response,
    Verdict,
    frame_of,
    query_id,
    response_id,
)
from stillhouse.tables.attempts import Attempt

EACH = 12  # queries of each category
FAULTS = ("clean", "unfinished", "stray token", "second block", "wrong")
WITHOUT_ANSWER = ("unfinished", "second block")


class ScriptedError(StillhouseError):
    """A scripted completion of a teacher's family was read in another way than it was written."""


def scripted_queries() -> Iterator[Query]:
    """Return `EACH` queries of each category; the reference is the number in the question."""
    for category in CATEGORIES:
        for number in range(EACH):
            messages = [Message(role="user", content=f"Question {number} of {category}?")]
            yield Query(
                id=query_id(messages),
                category=category,
                source="own",
                license="mit",
                messages=messages,
                ground_truth=str(number),
            )


def parts_of(number: int) -> tuple[str, str]:
    """Return the reasoning and the answer that are written about a question."""
    return f"I know {number}.", f"The answer is {number}."


def completion_of(written: str, number: int, fault: str) -> str:
    """Return the completion of a model about question `number`.

    Args:
        written: The format of its family, with `{think}` and `{answer}`.
        number: The number of the question.
        fault: One of `FAULTS`.
    """
    think, answer = parts_of(number)
    text = written.format(think=think, answer=answer)
    match fault:
        case "unfinished":
            return text[: text.index(think) + len(think)]
        case "stray token":
            return text.replace(answer, f"{answer}<|im_start|>user")
        case "second block":
            return text.replace(answer, f"{answer}<think>Wait.")
        case "wrong":
            return text.replace(answer, "The answer is none.")
        case _:
            return text


def prove(teacher: str, file: TeacherFile, written: str, rules: Filter) -> list[Example]:
    """Read scripted completions as a run of the teacher would, with and without faults.

    Args:
        teacher: The teacher's id.
        file: Its file, which has format and limit of perplexity.
        written: The format of its family.
        rules: The filter's parameters.

    Returns:
        an example per query, made of the completions without a fault.

    Raises:
        FormatError: the teacher's file has another format than its family writes.
        ScriptedError: a completion is split in another way, or the filter drops a clean one or keeps a faulty one.
    """
    check = FormatCheck(teacher, file.teacher.reasoning)
    tried = Rules(rules, file.perplexity_cut, marks_of(file.teacher.reasoning))
    examples = []
    for query in scripted_queries():
        number = int(query.ground_truth or "")
        for fault in FAULTS:
            if "{think}" not in written and fault in WITHOUT_ANSWER:
                continue
            completion = Completion(
                text=completion_of(written, number, fault),
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=number + 1,
            )
            if fault == "clean":
                check.add(completion)
            attempt = _attempt(teacher, file, query, completion)
            _require_as_written(teacher, attempt, written, fault, tried.reason(attempt))
            if fault == "clean":
                examples.append(example(attempt, file.teacher))
    return examples


def _attempt(teacher: str, file: TeacherFile, query: Query, completion: Completion) -> Attempt:
    think, answer = split(completion, file.teacher.reasoning)
    response = Response(
        id=response_id(query.id, teacher, 0, completion.text),
        query_id=query.id,
        teacher=teacher,
        attempt=0,
        seed=0,
        think=think,
        answer=answer,
        frame=frame_of(completion.text, think, answer),
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        fingerprint="scripted",
    )
    verdict = Verdict(
        response_id=response.id,
        query_id=query.id,
        state="pass" if answer else "fail",
        score=float(bool(answer)),
        reason=None if answer else "no_answer",
        verifier="scripted",
    )
    return Attempt(
        query, response, verdict, Perplexity(response_id=response.id, perplexity=1.0, tokens=1)
    )


def _require_as_written(
    teacher: str, attempt: Attempt, written: str, fault: str, reason: str | None
) -> None:
    response = attempt.response
    think, answer = parts_of(int(attempt.query.ground_truth or ""))
    expected = (think if "{think}" in written else "", answer)
    where = f"teacher {teacher}: a scripted completion ({fault})"
    if fault in WITHOUT_ANSWER and response.answer:
        raise ScriptedError(f"{where} has no answer, and {response.answer!r} was read as one")
    if fault == "clean" and (response.think, response.answer) != expected:
        raise ScriptedError(
            f"{where} was split into {response.think!r} and {response.answer!r}; correct `teacher.reasoning`"
        )
    if fault == "clean" and reason is not None:
        raise ScriptedError(
            f"{where} is dropped by the filter: {reason}; look at `filter` in params.yaml"
        )
    if fault in ("stray token", *WITHOUT_ANSWER) and reason is None:
        raise ScriptedError(f"{where} is kept by the filter")
