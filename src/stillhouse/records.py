"""The row types of all tables, and their content-hash ids.

Every table on disk holds one of these row types. A row type is an immutable msgspec struct, with fast and checked
conversion from and to plain dicts; `schemas` derives the Arrow schema of its table. Ids are content hashes over NFC
text, so that the same content has the same id in every run and a file sorted by id is stable. No logic beyond ids and
conversion belongs here.
"""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import pyarrow as pa

from stillhouse.constraint_arguments import ConstraintArguments
from stillhouse.hashing import ID_HEX_DIGITS, content_hash

Category = Literal["math", "code", "science", "if", "multiturn", "other"]
CATEGORIES: tuple[Category, ...] = ("math", "code", "science", "if", "multiturn", "other")
State = Literal["pass", "fail", "ungradable"]
# Why an answer ends: `stop`, it is complete; `length`, it was cut; any other name, such as `content_filter`, is the
# server's own, in lower case. Only `stop` is ever accepted.
FinishReason = str

# How an assistant turn holds reasoning and answer; the names are those of `marks.PRESETS`.
TurnFormat = Literal["think_tags", "answer_tags"]

# The id of a response or released row begins with this many digits of its query's id. So tables sorted by id are
# in the order of the queries, so that they join by one pass over both, and equal positions of two teachers' sets show
# the same query. The rest of the id is 64 bits of the row's own hash.
QUERY_PART = 16


def nfc(text: str) -> str:
    """Return the text as queries hold it: NFC, line ends as newlines, no space around it."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", plain).strip()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all row types."""


class Message(Row, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


# The roles of turns, by their names in the two layouts of conversations that data sets use.
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


class CodeTest(Row, frozen=True, kw_only=True):
    """One test of a code query: a Python assert statement, or standard input with the expected output.

    `tolerance`, where the task allows one: numbers of the output may be off by it, absolutely or relatively.
    """

    kind: Literal["assert", "stdio"]
    code: str | None = None
    input: str | None = None
    output: str | None = None
    tolerance: float | None = None


class Constraint(Row, frozen=True, kw_only=True):
    """One checkable instruction of an `if` query, named as in IFEval ("length_constraints:number_words").

    "judged:demand" is one in words, `demand`, that a model wrote and judges.
    """

    id: str
    kwargs: Annotated[dict[str, Any], ConstraintArguments] = {}


class Trace(Row, frozen=True, kw_only=True):
    """A worked solution that a query source carries."""

    think: str
    answer: str


class Query(Row, frozen=True, kw_only=True):
    """One question with all that is needed to verify an answer.

    `messages` is the conversation up to and including the last user turn. `ground_truth` is the reference answer
    (math, science; several as `ground_truth_of` writes them), `tests` serve code, `constraints` serve `if`; the others
    have none of the three. `verifier` names one of a plugin's, which grades the answers in place of the category's.
    """

    id: str
    category: Category
    source: str
    license: str
    messages: list[Message]
    ground_truth: str | None = None
    language: Literal["python", "cpp"] | None = None
    setup: str | None = None
    entry_point: str | None = None
    tests: list[CodeTest] = []
    constraints: list[Constraint] = []
    solution: Trace | None = None
    verifier: str | None = None

    @property
    def prompt(self) -> str:
        """The text of the last user turn."""
        return self.messages[-1].content

    @property
    def references(self) -> list[str]:
        """The reference answers; an answer is right if it matches one."""
        return [] if self.ground_truth is None else references_of(self.ground_truth)


class _AnyOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    any_of: list[str]


_ANY_OF = '{"any_of":['


def ground_truth_of(references: Sequence[str]) -> str:
    """Return one or more references as one text: `{"any_of":["1/2","0.5"]}` for several different ones.

    A plain list would be ambiguous: there are questions whose one right answer is a list.
    """
    different = list(dict.fromkeys(references))
    if len(different) == 1:
        return different[0]
    return msgspec.json.encode(_AnyOf(different)).decode()


def references_of(ground_truth: str) -> list[str]:
    """Return the references that a text holds: those of `ground_truth_of`, or the text itself."""
    if not ground_truth.startswith(_ANY_OF):
        return [ground_truth]
    try:
        return msgspec.json.decode(ground_truth, type=_AnyOf).any_of or [ground_truth]
    except msgspec.MsgspecError:
        return [ground_truth]


def query_id(messages: list[Message]) -> str:
    """Return the id of a query: its conversation alone, so that a corrected ground truth keeps the id."""
    return content_hash(
        "query", *(part for message in messages for part in (message.role, message.content))
    )


class Response(Row, frozen=True, kw_only=True):
    """One attempt of one teacher at one query.

    `think` and `answer` are the parts of the completion; `answer` is empty where the reasoning was never closed.
    `frame` is the rest of the completion, as `frame_of` gives it. `attempt` counts from 0. `cost` is in US dollars, by
    the teacher's price. `fingerprint` is the hash of all facts of the engine, which are in
    `fingerprint.json` beside the table.
    """

    id: str
    query_id: str
    teacher: str
    attempt: Annotated[int, pa.int32()]
    seed: int
    think: str
    answer: str
    frame: list[str]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cost: float | None = None
    fingerprint: str

    @property
    def text(self) -> str:
        """The completion as the engine gave it."""
        first, *rest = self.frame
        parts = (self.think, self.answer) if len(rest) == 2 else (self.answer,)
        return first + "".join(part + piece for part, piece in zip(parts, rest, strict=True))


def frame_of(text: str, think: str, answer: str) -> list[str]:
    """Return what a completion has around its parts, so that text, reasoning and answer are stored once.

    Args:
        text: the completion.
        think: its reasoning.
        answer: its answer, a piece of the text.

    Returns:
        Three pieces: before the reasoning, between, and after the answer. Or two, around the answer alone, where the
        text does not have the reasoning in one piece before the answer: an endpoint has returned it apart, or gpt-oss
        has written it in several messages.
    """
    # The same text comes out whichever occurrence of a part is taken; the answer is usually the end.
    at = text.rindex(answer)
    before, after = text[:at], text[at + len(answer) :]
    if think and think in before:
        begin, _, between = before.partition(think)
        return [begin, between, after]
    return [before, after]


def response_id(query_id: str, teacher: str, attempt: int, text: str) -> str:
    """Return the id of one attempt; it sorts where its query does (see `QUERY_PART`)."""
    return _within(query_id, "response", query_id, teacher, str(attempt), text)


def example_id(query_id: str, response_id: str) -> str:
    """Return the id of the released row made of a response; it sorts where its query does."""
    return _within(query_id, "example", response_id)


def _within(query_id: str, *parts: str) -> str:
    return query_id[:QUERY_PART] + content_hash(*parts)[: ID_HEX_DIGITS - QUERY_PART]


class Check(Row, frozen=True, kw_only=True):
    """What one verifier found. A verdict may rest on several: a rule that rejects, then a judge.

    `answer` is the part of the answer that a rule compared (a number, formula, option letter or text), null if none.
    """

    verifier: str
    version: str
    state: State
    score: float | None = None
    reason: str | None = None
    evidence: str | None = None
    answer: str | None = None


class Verdict(Row, frozen=True, kw_only=True):
    """The verdict on one response.

    `score` is in 0..1, and null where the state is ungradable: trouble in our machinery is never a wrong answer.
    `reason` is a short identifier ("wrong_answer", "timeout", "no_answer"), null on a pass. `cost` is what the judge's
    words on it cost, in US dollars; null where the judge has no price.
    """

    response_id: str
    query_id: str
    state: State
    score: float | None
    reason: str | None
    verifier: str
    cost: float | None = None
    checks: list[Check] = []


class Perplexity(Row, frozen=True, kw_only=True):
    """Perplexity of one response (think and answer, given the prompt) under the scorer model."""

    response_id: str
    perplexity: float
    tokens: int


class Decision(Row, frozen=True, kw_only=True):
    """What the filter stage did with one response. `reason` is null on the one accepted response of a query."""

    response_id: str
    query_id: str
    kept: bool
    reason: str | None


class BenchmarkItem(Row, frozen=True, kw_only=True):
    """One benchmark item; `id` is `task/item_id`.

    `reference` is as in `Query.ground_truth`, null where only lighteval can score an answer.
    """

    id: str
    task: str
    item_id: str
    prompt: str
    reference: str | None


class Rejected(Row, frozen=True, kw_only=True):
    """What the queries stage dropped, and why. `duplicate_of` names the query kept in its place.

    `query` is null where a row could not become a query; `row` then is its number in the source, from 1.
    """

    query: Query | None
    reason: str
    evidence: str | None = None
    duplicate_of: str | None = None
    source: str = ""
    row: int | None = None


class Example(Row, frozen=True, kw_only=True):
    """One released row: a query and the accepted response of one teacher."""

    id: str
    query_id: str
    category: Category
    source: str
    source_license: str
    messages: list[Message]
    ground_truth: str | None
    language: str | None
    setup: str | None
    entry_point: str | None
    tests: list[CodeTest]
    constraints: list[Constraint]
    teacher: str
    model: str
    model_revision: str
    attempt: Annotated[int, pa.int32()]
    seed: int
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    think: str
    answer: str
    verify_score: float
    verifier: str
    perplexity: float
    fingerprint: str


def assistant_text(think: str, answer: str, turn_format: TurnFormat = "think_tags") -> str:
    """Return an assistant turn as text.

    Args:
        think: the reasoning; without it there are no think tags.
        answer: the answer.
        turn_format: `think_tags`, as a release shows it: the reasoning in think tags, then the answer. `answer_tags`:
            the answer is in answer tags directly behind, as in the data sets of arXiv 2505.14464.
    """
    if turn_format == "answer_tags":
        return (f"<think>{think}</think>" if think else "") + f"<answer>{answer}</answer>"
    return f"<think>\n{think}\n</think>\n\n{answer}" if think else answer


class Sample(Row, frozen=True, kw_only=True):
    """One sampled answer of a student to one benchmark item.

    `seed` is that of the training; the untrained student has the teacher `untrained` and the seed 0. The scores are in
    0..1. `score_strict` is 0 where the answer was cut at the token limit; `score_lenient` counts a cut answer whose
    result is marked already. `score` is the one that `benchmark.score` names; for `finished` it is the strict score of
    an answer that ended by itself, and null for a cut one. `reason` says why the verifier did not accept it, null where
    it did or where a scorer of lighteval's gives no reason. `unread`: the verifier could not read the answer or the
    reference, so that it scores 0 without a verdict.
    """

    id: str
    task: str
    item_id: str
    sample: Annotated[int, pa.int32()]
    teacher: str
    student: str
    seed: int
    text: str
    score: float | None
    score_strict: float
    score_lenient: float
    reason: str | None
    unread: bool
    completion_tokens: int
    finish_reason: FinishReason


RowT = TypeVar("RowT", bound=Row)


def to_dict(row: Row) -> dict[str, Any]:
    """Return the row as plain dicts, lists and scalars, as pyarrow takes them."""
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain


def from_dict(row_type: type[RowT], plain: dict[str, Any]) -> RowT:
    """Return the row held by a plain dict, as `to_pylist` of an Arrow table gives it.

    Raises:
        msgspec.ValidationError: a field is missing or has another type; the message has its path.
    """
    for holder in (plain, plain.get("query") or {}):
        for constraint in holder.get("constraints") or ():
            kwargs = constraint.get("kwargs") or {}
            constraint["kwargs"] = {
                key: value for key, value in kwargs.items() if value is not None
            }
    return msgspec.convert(plain, row_type)
