"""Rules for the rows of a release: each checks a batch of rows with Arrow and yields findings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stillhouse.marks import STRAY_PATTERN, any_of_pattern, find_control_token, stray_mark
from stillhouse.package.batches import Overlaps, assistant_turns
from stillhouse.package.lint_text import text_faults, text_leaves
from stillhouse.package.rows import COLUMNS, MAY_BE_NULL, Kind
from stillhouse.records import CATEGORIES

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
# Rows that a viewer shows and infers types from; every category should occur in them.
FIRST_ROWS = 100
# The columns whose texts are checked. `messages` repeats the texts of `think` and `answer`.
_TEXTS: dict[Kind, list[str]] = {
    "data": ["messages", "ground_truth", "setup", "tests"],
    "all_attempts": ["prompt", "think", "answer", "ground_truth", "setup", "tests"],
    "rejected": ["prompt", "answer"],
    "rejected_queries": ["prompt", "evidence"],
    "parallel": ["prompt", "answers", "ground_truth", "setup", "tests"],
}
_FOR_TRAINING = ("data", "parallel")
# The columns with the turns of rows for training, in which no control token may be.
_TURNS: dict[Kind, list[str]] = {"data": ["messages"], "parallel": ["prompt", "answers"]}
# Columns that a query of the category needs to be verified.
_TRUTH = {"math": "ground_truth", "code": "tests", "if": "constraints"}


@dataclass(frozen=True)
class LintFinding:
    """One fault. `row` is the row's id, its position if the id is unreadable, or null for a fault of a file."""

    level: Literal["error", "warning"]
    rule: str
    file: str
    row: str | None
    message: str

    def __str__(self) -> str:
        where = f"{self.file}: row {self.row}" if self.row is not None else self.file
        return f"{where}: {self.message} [{self.rule}]"


class MinimumScores(NamedTuple):
    """The minimum scores of accepted rows: a share of tests for programs, the threshold for all others."""

    threshold: float
    pass_share: float


@dataclass
class TableState:
    """The state of one configuration while its rows are checked in order."""

    kind: Kind
    accepted: MinimumScores | None
    overlaps: Overlaps | None
    control_tokens: tuple[str, ...]
    file: str = ""
    seen: int = 0
    previous_key: str = ""
    previous_query: str = ""
    first_categories: set[str] = field(default_factory=set)
    categories: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowBatch:
    """Rows of a table in their order, with their keys (null: unreadable) and the position of the first one."""

    table: TableState
    rows: pa.RecordBatch
    keys: list[str | None]
    start: int

    def findings(
        self,
        wrong: pa.Array,
        rule: str,
        message: str | Callable[[int], str],
        level: Literal["error", "warning"] = "error",
    ) -> Iterator[LintFinding]:
        """Yield a finding for each row for which `wrong` is true."""
        for position in pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist():
            text = message if isinstance(message, str) else message(position)
            yield self.finding(position, rule, text, level)

    def finding(
        self,
        position: int,
        rule: str,
        message: str,
        level: Literal["error", "warning"] = "error",
    ) -> LintFinding:
        """Return a finding for the row at a position of the batch."""
        row = self.keys[position] or str(self.start + position)
        return LintFinding(level, rule, self.table.file, row, message)

    def column(self, name: str) -> pa.Array:
        """Return a column of the batch."""
        return self.rows.column(name)


def findings_on(batch: RowBatch) -> Iterator[LintFinding]:
    """Yield the findings on a batch. The batches of a table come in order, because its state is carried along."""
    kind = batch.table.kind
    yield from _order(batch)
    yield from _nulls(batch)
    yield from _common(batch)
    for fault in text_faults(batch.rows, _TEXTS[kind]):
        if fault.rule == "mojibake" and kind not in _FOR_TRAINING:
            continue  # other texts come from a model or a source and may be broken
        level: Literal["error", "warning"] = "error" if fault.rule == "secret" else "warning"
        yield batch.finding(fault.position, fault.rule, f"holds {fault.what}", level)
    yield from _control_tokens(batch)
    if batch.table.overlaps is not None:
        yield from _overlaps(batch, batch.table.overlaps)
    if kind == "data":
        yield from _data(batch)
    elif kind == "all_attempts":
        yield from _attempts(batch)


def _order(batch: RowBatch) -> Iterator[LintFinding]:
    table = batch.table
    queries = batch.column("query_id").to_pylist()
    for position, (key, query) in enumerate(zip(batch.keys, queries, strict=True)):
        if key is not None:
            if key == table.previous_key:
                yield batch.finding(position, "unique-id", "the id occurs twice")
            elif key < table.previous_key:
                yield batch.finding(
                    position,
                    "sorted",
                    f"comes after {table.previous_key}: rows must be sorted by id",
                )
            table.previous_key = key
        if table.kind == "data" and query is not None:
            if query == table.previous_query:
                yield batch.finding(
                    position, "unique-query", f"query {query} has two accepted rows"
                )
            table.previous_query = query


def _nulls(batch: RowBatch) -> Iterator[LintFinding]:
    for name in COLUMNS[batch.table.kind]:
        column = batch.column(name)
        if name not in MAY_BE_NULL[batch.table.kind] and column.null_count:
            yield from batch.findings(
                column.is_null(), "null", f"null in a column that needs a value: {name}"
            )
    chats = batch.column("messages" if batch.table.kind == "data" else "prompt")
    turns = pc.list_flatten(chats)
    for part in ("role", "content"):
        empty = turns.field(part).is_null()
        if pc.any(empty).as_py():
            rows = set(pc.list_parent_indices(chats).filter(empty).to_pylist())
            for position in sorted(rows):
                yield batch.finding(position, "null", f"a turn without {part}")


def _common(batch: RowBatch) -> Iterator[LintFinding]:
    table = batch.table
    categories = batch.column("category")
    yield from batch.findings(
        pc.invert(pc.is_in(categories, value_set=pa.array(CATEGORIES))),
        "category",
        lambda i: f"category {categories[i].as_py()!r} is none of {', '.join(CATEGORIES)}",
    )
    yield from batch.findings(
        pc.equal(pc.utf8_trim_whitespace(batch.column("source_license")), ""),
        "license",
        lambda i: f"source {batch.column('source')[i].as_py()} has no license",
    )
    left = max(0, FIRST_ROWS - table.seen)
    table.first_categories |= set(categories.slice(0, left).to_pylist())
    table.seen += batch.rows.num_rows
    for name in pc.unique(categories).to_pylist():
        if name not in table.categories:
            at = pc.index(categories, name).as_py()
            table.categories[name] = (table.file, batch.keys[at] or str(batch.start + at))


def late_categories(table: TableState) -> Iterator[LintFinding]:
    """Yield a warning for each category that a viewer does not show; called after the last batch of a table."""
    for name, (file, row) in table.categories.items():
        if name not in table.first_categories:
            yield LintFinding(
                "warning",
                "category",
                file,
                row,
                f"the first row of category {name} comes after the first {FIRST_ROWS} rows, so a viewer does not "
                "show the category",
            )


def _overlaps(batch: RowBatch, overlaps: Overlaps) -> Iterator[LintFinding]:
    if batch.table.kind == "rejected":
        return  # the prompts of this configuration are checked in all_attempts
    chats = batch.column("messages" if batch.table.kind == "data" else "prompt").to_pylist()
    queries = batch.column("query_id").to_pylist()
    previous = None
    for position, (chat, query) in enumerate(zip(chats, queries, strict=True)):
        if chat and query != previous and (item := overlaps(chat)):
            yield batch.finding(
                position, "benchmark-overlap", f"the prompt overlaps the benchmark item {item}"
            )
        previous = query


def _data(batch: RowBatch) -> Iterator[LintFinding]:
    think, answer = (pc.fill_null(batch.column(name), "") for name in ("think", "answer"))
    yield from _last_turns(batch, think, answer)
    yield from batch.findings(
        pc.equal(pc.utf8_trim_whitespace(answer), ""), "answer", "the answer is empty"
    )
    yield from batch.findings(
        pc.not_equal(batch.column("finish_reason"), "stop"),
        "truncated",
        lambda i: f"was cut off (finish_reason {batch.column('finish_reason')[i].as_py()})",
    )
    yield from _scores(batch)
    perplexity = batch.column("perplexity")
    yield from batch.findings(
        pc.invert(pc.and_(pc.is_finite(perplexity), pc.greater(perplexity, 0))),
        "perplexity",
        lambda i: f"perplexity {perplexity[i].as_py()} is not a number above 0",
    )
    yield from batch.findings(
        pc.less(batch.column("tokens"), 1), "tokens", "a response without tokens"
    )
    categories = batch.column("category")
    for category, name in _TRUTH.items():
        column = batch.column(name)
        absent = (
            column.is_null()
            if pa.types.is_string(column.type)
            else pc.equal(pc.list_value_length(column), 0)
        )
        yield from batch.findings(
            pc.and_(pc.equal(categories, category), absent),
            "truth",
            f"a {category} row without {name} cannot have been verified",
        )


def _last_turns(batch: RowBatch, think: pa.Array, answer: pa.Array) -> Iterator[LintFinding]:
    wanted = pc.if_else(pc.equal(think, ""), 0, 1)
    last = _last_turn(batch.column("messages"))
    role, content = (pc.fill_null(last.field(name), "") for name in ("role", "content"))
    ends = pc.equal(role, "assistant")
    yield from batch.findings(
        pc.invert(ends), "assistant-turn", "the chat does not end with the assistant's turn"
    )
    opened, closed = (pc.count_substring(content, mark) for mark in (THINK_OPEN, THINK_CLOSE))
    unbalanced = pc.and_(ends, pc.or_(pc.not_equal(opened, wanted), pc.not_equal(closed, wanted)))
    yield from batch.findings(
        unbalanced,
        "think-balance",
        lambda i: (
            f"{opened[i]} {THINK_OPEN} and {closed[i]} {THINK_CLOSE} in the last turn, "
            f"{wanted[i]} of each expected"
        ),
    )
    yield from _stray_marks(batch, think, answer)
    other = pc.not_equal(content, assistant_turns(think, answer))
    yield from batch.findings(
        pc.and_(pc.and_(ends, pc.invert(unbalanced)), other),
        "assistant-turn",
        "the last turn does not consist of `think` and `answer`",
    )


def _stray_marks(batch: RowBatch, think: pa.Array, answer: pa.Array) -> Iterator[LintFinding]:
    """Yield the rows with a mark or control token in reasoning or answer: a student would learn to write it."""
    for name, texts in (("think", think), ("answer", answer)):
        stray = pc.match_substring_regex(texts, STRAY_PATTERN)
        for position in pc.indices_nonzero(stray).to_pylist():
            mark = stray_mark([texts[position].as_py()])
            yield batch.finding(position, "stray-mark", f"{mark} in `{name}`")


def _control_tokens(batch: RowBatch) -> Iterator[LintFinding]:
    """Yield the rows for training with a control token in a turn: there it ends a turn or opens one."""
    tokens = batch.table.control_tokens
    for name in _TURNS.get(batch.table.kind, ()):
        for rows, texts in text_leaves(batch.column(name), pa.array(range(batch.rows.num_rows))):
            hits = pc.match_substring_regex(texts, any_of_pattern(tokens))
            for hit in pc.indices_nonzero(pc.fill_null(hits, False)).to_pylist():
                found = find_control_token([texts[hit].as_py()], tokens)
                yield batch.finding(rows[hit].as_py(), "control-token", f"{found} in `{name}`")


def _last_turn(chats: pa.ListArray) -> pa.StructArray:
    """Return the last turn of each chat; null for an empty chat."""
    lengths = pc.fill_null(pc.list_value_length(chats), 0)
    ends = pc.cumulative_sum(lengths)
    at = pc.if_else(pc.equal(lengths, 0), None, pc.subtract(ends, 1))
    return pc.list_flatten(chats).take(at)


def _scores(batch: RowBatch) -> Iterator[LintFinding]:
    score = batch.column("verify_score")
    inside = pc.and_(pc.greater_equal(score, 0), pc.less_equal(score, 1))
    yield from batch.findings(
        pc.invert(inside), "score", lambda i: f"verify_score {score[i].as_py()} is not in 0..1"
    )
    accepted = batch.table.accepted
    if accepted is not None and batch.table.kind == "data":
        is_program = pc.equal(batch.column("category"), "code")
        least = pc.if_else(is_program, accepted.pass_share, accepted.threshold)
        yield from batch.findings(
            pc.and_(inside, pc.less(score, least)),
            "score",
            lambda i: (
                f"verify_score {score[i].as_py()} is below {least[i].as_py()}, the minimum of an accepted row"
            ),
        )


def _attempts(batch: RowBatch) -> Iterator[LintFinding]:
    state, kept = batch.column("state"), batch.column("kept")
    yield from batch.findings(
        pc.invert(pc.is_in(state, value_set=pa.array(["pass", "fail", "ungradable"]))),
        "state",
        lambda i: f"state {state[i].as_py()!r} is none of pass, fail, ungradable",
    )
    yield from batch.findings(
        pc.and_(kept, pc.not_equal(state, "pass")), "state", "was kept but did not pass"
    )
    yield from batch.findings(
        pc.not_equal(kept, batch.column("drop_reason").is_null()),
        "drop-reason",
        "a dropped row must have a reason, a kept row must not",
    )
    yield from _scores(batch)
