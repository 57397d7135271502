from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.release.lint import Finding, lint
from stillhouse.release.manifest import write_manifest
from stillhouse.release.rows import EXAMPLE_SCHEMA

SHARD = "data/train-00000-of-00001.parquet"
ATTEMPTS = "attempts/train-00000-of-00001.parquet"
# Put together here, so that no scanner takes this file for a leak.
GITHUB_TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6"
HUB_TOKEN = "hf_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3g"
AWS_KEY = "AKIA" + "Q3EGRTYU2PLMN7WX"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"

Rows = list[dict[str, Any]]


def say(row: dict[str, Any], content: str) -> None:
    row["messages"][-1]["content"] = content


def rewrite(release: Path, spoil: Callable[[Rows], None]) -> Rows:
    """Spoil the rows of the shard and write a manifest that agrees with them."""
    rows = pq.read_table(release / SHARD).to_pylist()
    spoil(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA), release / SHARD)
    write_manifest(release)
    return rows


def rules(findings: list[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_a_good_release_has_no_finding(release: Path) -> None:
    assert lint(release) == []


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("unique-id", lambda rows: rows[3].update(id=rows[2]["id"])),
        ("sorted", lambda rows: rows[3].update(id="0" * 32)),
        ("unique-query", lambda rows: rows[3].update(query_id=rows[0]["query_id"])),
        ("null", lambda rows: rows[3].update(id=None)),
        ("null", lambda rows: rows[3].update(verify_score=None)),
        ("think-balance", lambda rows: say(rows[3], "<think>\nnever closed")),
        ("think-balance", lambda rows: say(rows[3], rows[3]["answer"])),
        ("assistant-turn", lambda rows: say(rows[3], "<think>\na\n</think>\n\nother")),
        ("assistant-turn", lambda rows: rows[3]["messages"].pop()),
        ("assistant-turn", lambda rows: rows[3].update(messages=[])),
        ("truncated", lambda rows: rows[3].update(finish_reason="length")),
        ("answer", lambda rows: rows[3].update(answer=" ")),
        ("score", lambda rows: rows[3].update(verify_score=1.5)),
        ("license", lambda rows: rows[3].update(source_license="")),
        ("secret", lambda rows: say(rows[3], f"use {GITHUB_TOKEN}")),
        ("secret", lambda rows: say(rows[3], f"use {HUB_TOKEN}")),
        ("secret", lambda rows: say(rows[3], f"use {AWS_KEY}")),
        (
            "secret",
            lambda rows: rows[3].update(
                tests=[{"kind": "assert", "code": PRIVATE_KEY, "input": None, "output": None}]
            ),
        ),
    ],
)
def test_a_spoiled_row_is_named(release: Path, rule: str, spoil: Callable[[Rows], None]) -> None:
    rows = rewrite(release, spoil)
    found = [finding for finding in lint(release) if finding.rule == rule]
    assert found, f"{rule} was not found"
    assert all(finding.level == "error" and finding.file == SHARD for finding in found)
    assert (rows[3]["id"] or "3") in {finding.row for finding in found}


def test_the_message_never_shows_the_secret(release: Path) -> None:
    rewrite(release, lambda rows: say(rows[3], f"use {GITHUB_TOKEN}"))
    assert all(GITHUB_TOKEN not in str(finding) for finding in lint(release))


def test_maths_and_code_are_no_secrets(release: Path) -> None:
    text = "password = input(); h = 'd41d8cd98f00b204e9800998ecf8427e'; see 192.168.0.1 or a@b.org"

    def spoil(rows: Rows) -> None:
        rows[3]["answer"] = text
        say(rows[3], f"<think>\n{rows[3]['think']}\n</think>\n\n{text}")

    rewrite(release, spoil)
    assert lint(release) == []


def test_a_replacement_character_is_a_warning(release: Path) -> None:
    def spoil(rows: Rows) -> None:
        rows[3]["messages"][0]["content"] = "caf\ufffd"

    rewrite(release, spoil)
    assert [(f.level, f.rule) for f in lint(release)] == [("warning", "replacement")]


def test_invalid_utf8_is_named(release: Path) -> None:
    table = pq.read_table(release / SHARD)
    answers = [text.encode() for text in table["answer"].to_pylist()]
    answers[3] = b"caf\xe9"
    broken = pa.array(answers, type=pa.binary()).view(pa.string())
    position = table.schema.get_field_index("answer")
    pq.write_table(table.set_column(position, "answer", broken), release / SHARD)
    write_manifest(release)
    found = [finding for finding in lint(release) if finding.rule == "utf8"]
    assert [(finding.file, finding.row) for finding in found] == [(SHARD, "3")]


def test_another_schema_is_an_error(release: Path) -> None:
    table = pq.read_table(release / SHARD)
    pq.write_table(table.drop_columns(["perplexity"]), release / SHARD)
    write_manifest(release)
    found = [finding for finding in lint(release) if finding.rule == "schema"]
    assert [finding.message.partition(": ")[2] for finding in found] == ["perplexity"]


def test_a_lost_row_disagrees_with_the_card(release: Path) -> None:
    rewrite(release, lambda rows: rows.pop())
    found = [finding for finding in lint(release) if finding.rule == "card-count"]
    assert [finding.message for finding in found] == ["says 12 rows of default, the shards hold 11"]


def test_a_changed_file_disagrees_with_the_manifest(release: Path) -> None:
    content = bytearray((release / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (release / SHARD).write_bytes(bytes(content))
    assert "manifest" in rules(lint(release))


def test_a_missing_manifest_is_an_error(release: Path) -> None:
    (release / "manifest.json").unlink()
    assert "manifest" in rules(lint(release))


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("license", "license: apache-2.0\n", ""),
        ("card-schema", "| `perplexity` |", "| `surprise` |"),
        ("card-files", "path: data/train-*.parquet", "path: data/test-*.parquet"),
        ("card-count", "num_examples: 12", "num_examples: 13"),
        ("card", "license: apache-2.0", "license: [apache-2.0"),
    ],
)
def test_a_card_that_does_not_fit_is_an_error(release: Path, rule: str, old: str, new: str) -> None:
    card = release / "README.md"
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, new))
    write_manifest(release)
    assert rules(lint(release)) == {rule}


def test_a_missing_configuration_is_an_error(release: Path) -> None:
    (release / ATTEMPTS).unlink()
    write_manifest(release)
    assert {"shards", "card-count"} <= rules(lint(release))
