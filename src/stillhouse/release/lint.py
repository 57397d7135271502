"""The last look at a release folder before anyone else sees it.

Every check names the file and, where there is one, the row. An error stops the package and publish stages; a warning is
for a human to read. Checks never repair anything.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.records import assistant_text
from stillhouse.release.manifest import MANIFEST, ManifestError, differences
from stillhouse.release.rows import (
    ATTEMPT_COLUMNS,
    ATTEMPT_SCHEMA,
    EXAMPLE_COLUMNS,
    EXAMPLE_SCHEMA,
)
from stillhouse.tables import BATCH_ROWS

CARD = "README.md"
THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
CONFIGS = {"default": EXAMPLE_SCHEMA, "attempts": ATTEMPT_SCHEMA}
FOLDERS = {"default": "data", "attempts": "attempts"}

MAY_BE_NULL = {
    "default": frozenset({"ground_truth", "language"}),
    "attempts": frozenset(
        {"state", "verify_score", "verify_reason", "verifier", "perplexity", "drop_reason"}
    ),
}
# detect-secrets' detectors of keys with a shape of their own. Those that go by entropy, keywords or addresses are left
# out: ordinary maths, code and chat set them off.
SECRET_DETECTORS = (
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")  # detect-secrets 1.5 does not know it
_REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that it could not read


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `row` is the row's id (its position where the id is unreadable), null for a file."""

    level: Literal["error", "warning"]
    rule: str
    file: str
    row: str | None
    message: str

    def __str__(self) -> str:
        where = f"{self.file}: row {self.row}" if self.row is not None else self.file
        return f"{where}: {self.message} [{self.rule}]"


def lint(folder: Path) -> list[Finding]:
    """Return all findings on a release folder, errors first; none: nothing is wrong."""
    findings = [*_files(folder), *_card(folder)]
    for config in CONFIGS:
        findings += _rows(folder, config)
    return sorted(findings, key=lambda finding: finding.level)


def _files(folder: Path) -> Iterator[Finding]:
    try:
        for file, fault in differences(folder):
            yield Finding("error", "manifest", file, None, fault)
    except ManifestError as error:
        yield Finding("error", "manifest", MANIFEST, None, str(error))


def _shards(folder: Path, config: str) -> list[Path]:
    return sorted((folder / FOLDERS[config]).glob("*.parquet"))


def _card(folder: Path) -> Iterator[Finding]:
    from huggingface_hub import DatasetCard
    from yaml import YAMLError

    def error(rule: str, message: str) -> Finding:
        return Finding("error", rule, CARD, None, message)

    try:
        card = DatasetCard.load(folder / CARD)
    except (OSError, ValueError, YAMLError) as fault:
        yield error("card", f"no readable card ({' '.join(str(fault).split())})")
        return
    if not card.data.license:
        yield error("license", "the front matter names no license")
    configs = {c["config_name"]: c["data_files"] for c in card.data.to_dict().get("configs") or []}
    stated = {
        info["config_name"]: sum(split["num_examples"] for split in info["splits"])
        for info in card.data.to_dict().get("dataset_info") or []
    }
    documented = set(re.findall(r"^\| `(\w+)` \|", card.text, flags=re.MULTILINE))
    for config, columns in (("default", EXAMPLE_COLUMNS), ("attempts", ATTEMPT_COLUMNS)):
        patterns = [files["path"] for files in configs.get(config, [])]
        names = [path.relative_to(folder).as_posix() for path in _shards(folder, config)]
        if not names:
            yield Finding(
                "error", "shards", FOLDERS[config], None, f"no shard of the configuration {config}"
            )
        for name in names:
            if not any(fnmatch(name, pattern) for pattern in patterns):
                yield error(
                    "card-files", f"configuration {config} does not reach {name} ({patterns})"
                )
        rows = sum(_row_count(folder / name) for name in names)
        if stated.get(config) != rows:
            yield error(
                "card-count",
                f"says {stated.get(config)} rows of {config}, the shards hold {rows}",
            )
        if missing := sorted(set(columns) - documented):
            yield error("card-schema", f"does not explain the columns {', '.join(missing)}")


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0  # reported by the check against the manifest


def _rows(folder: Path, config: str) -> Iterator[Finding]:
    schema = CONFIGS[config]
    previous = ""
    queries: set[str] = set()
    for path in _shards(folder, config):
        name = path.relative_to(folder).as_posix()
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                if not file.schema_arrow.equals(schema):
                    yield Finding("error", "schema", name, None, _schema_fault(file, schema))
                    continue
                start = 0
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for position, (found, row) in enumerate(_readable(batch, name, start), start):
                        yield from found
                        if row is None:
                            continue
                        row_id = row["id"] or str(position)
                        report = _Report(name, row_id)
                        yield from _keys(row, previous, queries, config, report)
                        previous = row["id"] or previous
                        yield from _nulls(row, config, report)
                        yield from _secrets(row, report)
                        if config == "default":
                            yield from _example(row, report)
                    start += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            yield Finding(
                "error", "parquet", name, None, f"unreadable ({' '.join(str(error).split())})"
            )


@dataclass(frozen=True)
class _Report:
    file: str
    row: str

    def error(self, rule: str, message: str) -> Finding:
        return Finding("error", rule, self.file, self.row, message)

    def warning(self, rule: str, message: str) -> Finding:
        return Finding("warning", rule, self.file, self.row, message)


def _schema_fault(file: pq.ParquetFile, schema: pa.Schema) -> str:
    found = {field.name: field.type for field in file.schema_arrow}
    wanted = {field.name: field.type for field in schema}
    differ = sorted(
        name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
    )
    return f"other columns or types than released rows have: {', '.join(differ) or 'their order'}"


def _readable(
    batch: pa.RecordBatch, name: str, start: int
) -> Iterator[tuple[list[Finding], dict[str, Any] | None]]:
    """Yield each row as a dict, or the finding that it is not valid UTF-8."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for index in range(batch.num_rows):
            one = batch.slice(index, 1)
            try:
                one.validate(full=True)
                yield [], one.to_pylist()[0]
            except pa.ArrowInvalid as error:
                fault = f"not valid UTF-8 ({' '.join(str(error).split())})"
                yield [Finding("error", "utf8", name, str(start + index), fault)], None
        return
    for row in batch.to_pylist():
        yield [], row


def _keys(
    row: dict[str, Any], previous: str, queries: set[str], config: str, report: _Report
) -> Iterator[Finding]:
    row_id = row["id"]
    if row_id is not None and row_id == previous:
        yield report.error("unique-id", "the id stands twice")
    elif row_id is not None and row_id < previous:
        yield report.error("sorted", f"the id comes after {previous}: rows must be sorted by id")
    if config == "default" and row["query_id"] is not None:
        if row["query_id"] in queries:
            yield report.error("unique-query", f"query {row['query_id']} has two accepted rows")
        queries.add(row["query_id"])


def _nulls(row: dict[str, Any], config: str, report: _Report) -> Iterator[Finding]:
    nulls = [name for name, value in row.items() if value is None]
    if bad := sorted(set(nulls) - MAY_BE_NULL[config]):
        yield report.error("null", f"null where a value must be: {', '.join(bad)}")


def _texts(row: dict[str, Any]) -> Iterator[str]:
    for message in row.get("messages") or ():
        yield message["content"] or ""
    for test in row.get("tests") or ():
        yield from (test[part] or "" for part in ("code", "input", "output"))
    if "messages" not in row:
        yield row["think"] or ""
        yield row["answer"] or ""


def _secrets(row: dict[str, Any], report: _Report) -> Iterator[Finding]:
    for text in _texts(row):
        kinds = {kind for kind, search in _detectors().items() if search(text)}
        for kind in sorted(kinds):
            yield report.error("secret", f"the text holds what looks like a secret: {kind}")


@cache
def _detectors() -> dict[str, Callable[[str], bool]]:
    """Return a search function per kind of secret. The detectors' online verification is not used."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    detectors: dict[str, Callable[[str], bool]] = {
        "Hugging Face token": lambda text: bool(_HUB_TOKEN.search(text))
    }
    for kind, plugin in get_mapping_from_secret_type_to_class().items():
        if plugin.__name__ in SECRET_DETECTORS:
            detectors[kind] = _search(plugin())
    return detectors


def _search(plugin: Any) -> Callable[[str], bool]:
    return lambda text: any(True for _ in plugin.analyze_string(text))


def _example(row: dict[str, Any], report: _Report) -> Iterator[Finding]:
    chat = row["messages"] or []
    if not chat or chat[-1]["role"] != "assistant":
        yield report.error("assistant-turn", "the chat does not end with the assistant's turn")
    else:
        yield from _last_turn(chat[-1]["content"] or "", row, report)
    if row["finish_reason"] == "length":
        yield report.error("truncated", "the response was cut off (finish_reason length)")
    score = row["verify_score"]
    if score is not None and not 0 <= score <= 1:
        yield report.error("score", f"verify_score {score} is not in 0..1")
    if row["source_license"] == "":
        yield report.error("license", f"source {row['source']} has no license")
    if any(_REPLACEMENT in text for text in _texts(row)):
        yield report.warning("replacement", "the text holds U+FFFD: it was decoded wrongly once")


def _last_turn(content: str, row: dict[str, Any], report: _Report) -> Iterator[Finding]:
    think, answer = row["think"] or "", row["answer"] or ""
    opened, closed = content.count(THINK_OPEN), content.count(THINK_CLOSE)
    wanted = 1 if think else 0
    if opened != closed or opened != wanted:
        yield report.error(
            "think-balance",
            f"{opened} {THINK_OPEN} and {closed} {THINK_CLOSE} in the last turn, {wanted} of each expected",
        )
    elif content != assistant_text(think, answer):
        yield report.error("assistant-turn", "the last turn is not made of `think` and `answer`")
    if not answer.strip():
        yield report.error("answer", "the answer is empty")
