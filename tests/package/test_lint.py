import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.marks import CONTROL_TOKENS
from stillhouse.package.lint import LintFinding, lint, lint_files, lint_rows
from stillhouse.package.lint_text import private_addresses
from stillhouse.package.manifest import write_manifest
from stillhouse.package.rows import kind_of, schema_of

FILE = "train-00000-of-00001.parquet"
SHARD = f"data/{FILE}"
ATTEMPTS = f"all_attempts/{FILE}"
QUERIES = f"rejected_queries/{FILE}"
# Put together here, so that no scanner takes this file for a leak.
GITHUB_TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6"
HUB_TOKEN = "hf_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3g"
GITLAB_TOKEN = "glpat-" + "aB3dE6gH9jK2mN5pQ8sT"
AWS_KEY = "AKIA" + "Q3EGRTYU2PLMN7WX"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"

Rows = list[dict[str, Any]]


def say(row: dict[str, Any], content: str) -> None:
    row["messages"][-1]["content"] = content


def answer(row: dict[str, Any], text: str) -> None:
    """Change the answer, and the last turn with it."""
    row["answer"] = text
    say(row, f"<think>\n{row['think']}\n</think>\n\n{text}")


def think(row: dict[str, Any], text: str) -> None:
    """Change the reasoning, and the last turn with it."""
    row["think"] = text
    answer(row, row["answer"])


def answer_third(text: str, rows: Rows) -> None:
    answer(rows[3], text)


def rewrite(release: Path, spoil: Callable[[Rows], None], shard: str = SHARD) -> Rows:
    """Spoil the rows of a shard and write a manifest that agrees with them."""
    schema = schema_of(kind_of(shard.rpartition("/")[0]))
    rows = pq.read_table(release / shard).to_pylist()
    spoil(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), release / shard)
    write_manifest(release)
    return rows


def rules(findings: list[LintFinding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_a_good_release_has_no_finding(made_release: Path) -> None:
    for folder in ("tiny", "worked", "parallel"):
        assert lint(made_release / folder) == []


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("unique-id", lambda rows: rows[3].update(id=rows[2]["id"])),
        ("sorted", lambda rows: rows[3].update(id="0" * 32)),
        ("unique-query", lambda rows: rows[3].update(query_id=rows[2]["query_id"])),
        ("null", lambda rows: rows[3].update(id=None)),
        ("null", lambda rows: rows[3].update(verify_score=None)),
        ("null", lambda rows: rows[3]["messages"][0].update(role=None)),
        ("think-balance", lambda rows: say(rows[3], "<think>\nnever closed")),
        ("think-balance", lambda rows: say(rows[3], "<think>a</think><think>b</think>c")),
        ("think-balance", lambda rows: say(rows[3], rows[3]["answer"])),
        ("assistant-turn", lambda rows: say(rows[3], "<think>\na\n</think>\n\nother")),
        ("assistant-turn", lambda rows: rows[3]["messages"].pop()),
        ("assistant-turn", lambda rows: rows[3].update(messages=[])),
        (
            "stray-mark",
            lambda rows: answer(rows[3], "It is 4.<|im_end|>\n<|im_start|>user\nAnd 3 + 3?"),
        ),
        ("stray-mark", lambda rows: answer(rows[3], "[THINK]2 + 2[/THINK]It is 4.")),
        ("stray-mark", lambda rows: answer(rows[3], "<|begin_of_box|>4<|end_of_box|>")),
        ("stray-mark", lambda rows: answer(rows[3], "<tool_call>\n{}\n</tool_call>")),
        ("stray-mark", lambda rows: think(rows[3], "<|channel|>analysis<|message|>2 + 2")),
        *(
            ("control-token", partial(answer_third, f"It is 4.{tokens[0]}\nAnd 3 + 3?"))
            for tokens in CONTROL_TOKENS.values()
        ),
        ("control-token", lambda rows: think(rows[3], "2 + 2 <｜end▁of▁sentence｜>")),
        ("control-token", lambda rows: rows[3]["messages"][0].update(content="2 + 2? [/INST]")),
        ("truncated", lambda rows: rows[3].update(finish_reason="length")),
        ("answer", lambda rows: answer(rows[3], " ")),
        ("score", lambda rows: rows[3].update(verify_score=1.5)),
        ("score", lambda rows: rows[3].update(verify_score=0.5)),
        ("perplexity", lambda rows: rows[3].update(perplexity=float("nan"))),
        ("tokens", lambda rows: rows[3].update(tokens=0)),
        ("category", lambda rows: rows[3].update(category="maths")),
        ("truth", lambda rows: rows[3].update(category="code")),
        ("license", lambda rows: rows[3].update(source_license=" ")),
        ("secret", lambda rows: answer(rows[3], f"use {GITHUB_TOKEN}")),
        ("secret", lambda rows: answer(rows[3], f"use {HUB_TOKEN}")),
        ("secret", lambda rows: answer(rows[3], f"use {GITLAB_TOKEN}.")),
        ("secret", lambda rows: rows[3]["messages"][0].update(content=f"{AWS_KEY}?")),
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
    found = [finding for finding in lint_rows(release) if finding.rule == rule]
    assert found, f"{rule} was not found"
    assert all(finding.level == "error" and finding.file == SHARD for finding in found)
    assert (rows[3]["id"] or "3") in {finding.row for finding in found}


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("state", lambda rows: next(r for r in rows if not r["kept"]).update(state="maybe")),
        ("state", lambda rows: next(r for r in rows if r["kept"]).update(state="fail")),
        ("drop-reason", lambda rows: next(r for r in rows if r["kept"]).update(drop_reason="x")),
        ("drop-reason", lambda rows: next(r for r in rows if not r["kept"]).update(kept=True)),
        ("score", lambda rows: rows[0].update(verify_score=-1.0)),
        ("secret", lambda rows: rows[0].update(think=f"use {GITHUB_TOKEN}")),
    ],
)
def test_a_spoiled_attempt_is_named(
    release: Path, rule: str, spoil: Callable[[Rows], None]
) -> None:
    rewrite(release, spoil, ATTEMPTS)
    found = [finding for finding in lint_rows(release) if finding.rule == rule]
    assert [finding.level for finding in found] == ["error"]
    assert found[0].file == ATTEMPTS
    assert found[0].row


def test_control_tokens_are_those_of_the_release_s_filter(release: Path) -> None:
    """An attempt that was dropped may hold one; a row for training may not, by the list that its filter had."""
    rewrite(release, lambda rows: rows[0].update(answer="4 [/INST]"), ATTEMPTS)
    rewrite(release, lambda rows: answer(rows[3], "It is <<END>> 4."))
    assert "control-token" not in rules(lint_rows(release))
    assert "control-token" in rules(lint_rows(release, control_tokens=["<<END>>"]))
    path = release / "provenance.json"
    content = json.loads(path.read_text())
    stated = content["predicate"]["buildDefinition"]["externalParameters"]["filter"]
    assert "<|eot_id|>" in stated["control_tokens"]
    stated["control_tokens"] = ["<<END>>"]
    path.write_text(json.dumps(content))
    (found,) = (f for f in lint_rows(release) if f.rule == "control-token")
    assert found.message == "<<END>> in `messages`"
    del stated["control_tokens"]  # as in a release of an older version
    path.write_text(json.dumps(content))
    assert "control-token" not in rules(lint_rows(release))
    rewrite(release, lambda rows: answer(rows[3], "It is <eos> 4."))
    assert "control-token" in rules(lint_rows(release))
    stated["control_tokens"] = []
    path.write_text(json.dumps(content))
    assert "control-token" not in rules(lint_rows(release))


def test_the_message_never_shows_the_secret(release: Path) -> None:
    rewrite(release, lambda rows: answer(rows[3], f"use {GITHUB_TOKEN} jane.doe@gmail.com"))
    text = "\n".join(str(finding) for finding in lint_rows(release))
    assert "[secret]" in text
    assert "[email]" in text
    assert GITHUB_TOKEN not in text
    assert "jane" not in text


def test_maths_code_and_other_languages_are_no_findings(release: Path) -> None:
    text = (
        "password = input(); h = 'd41d8cd98f00b204e9800998ecf8427e'; see 192.168.0.1 or a@b.org, "
        "support@python.org, jane.doe@example.com; «Très bien», “curly”, Ã, naïve, 中文, Привет"
    )
    rewrite(release, lambda rows: answer(rows[3], text))
    assert lint_rows(release) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("write to jane@gmail.com", 1),
        ("jane.doe@company.com and john_smith42@firm.de", 2),
        ("info@company.com, no-reply@gmail", 0),
        ("jane.doe@mail.example.org", 0),
        ("user@host @decorator x@y", 0),
    ],
)
def test_private_addresses(text: str, count: int) -> None:
    assert len(private_addresses(text)) == count


@pytest.mark.parametrize(
    "text", ["caf\ufffd", "cafÃ©", "itâ€™s", "\u00ef\u00bb\u00bfHello", "10Â\u00a0km"]
)
def test_text_that_was_decoded_wrongly_is_a_warning(release: Path, text: str) -> None:
    rewrite(release, lambda rows: answer(rows[3], text))
    assert [(f.level, f.rule) for f in lint_rows(release)] == [("warning", "mojibake")]


def test_broken_text_of_a_rejected_attempt_is_what_the_model_said(release: Path) -> None:
    rewrite(release, lambda rows: rows[0].update(think="caf\ufffd"), ATTEMPTS)
    assert lint_rows(release) == []


def test_a_category_that_a_viewer_does_not_show_is_a_warning(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillhouse.package.lint_rules.FIRST_ROWS", 2)
    found = [finding for finding in lint_rows(release) if finding.file == SHARD]
    assert rules(found) == {"category"}
    assert all(finding.level == "warning" and finding.row for finding in found)


def test_a_prompt_that_overlaps_a_benchmark_is_an_error(release: Path) -> None:
    def overlaps(chat) -> str | None:
        return "gsm8k/1" if "3 + 3" in str(chat[0]["content"]) else None

    found = lint_rows(release, overlaps=overlaps)
    assert {finding.file for finding in found} == {SHARD, ATTEMPTS}
    assert rules(found) == {"benchmark-overlap"}
    assert "gsm8k/1" in found[0].message


def test_invalid_utf8_is_named(release: Path) -> None:
    table = pq.read_table(release / SHARD)
    answers = [text.encode() for text in table["answer"].to_pylist()]
    answers[3] = b"caf\xe9"
    broken = pa.array(answers, type=pa.binary()).view(pa.string())
    position = table.schema.get_field_index("answer")
    pq.write_table(table.set_column(position, "answer", broken), release / SHARD)
    found = [finding for finding in lint_rows(release) if finding.rule == "utf8"]
    assert [(finding.file, finding.row) for finding in found] == [(SHARD, "3")]


def test_another_schema_is_an_error(release: Path) -> None:
    table = pq.read_table(release / SHARD)
    pq.write_table(table.drop_columns(["perplexity"]), release / SHARD)
    found = [finding for finding in lint_rows(release) if finding.rule == "schema"]
    assert [finding.message.partition(": ")[2] for finding in found] == ["perplexity"]


def test_a_lost_row_disagrees_with_card_and_attempts(release: Path) -> None:
    rewrite(release, lambda rows: rows.pop())
    found = lint_files(release)
    assert rules(found) == {"card-count", "row-sum"}
    assert "states 12 rows of default, the shards have 11" in {finding.message for finding in found}


def test_a_changed_file_disagrees_with_the_manifest(release: Path) -> None:
    content = bytearray((release / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (release / SHARD).write_bytes(bytes(content))
    assert "manifest" in rules(lint(release))


def test_a_missing_manifest_is_an_error(release: Path) -> None:
    (release / "manifest.json").unlink()
    assert "manifest" in rules(lint_files(release))


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("license", "license: apache-2.0\n", ""),
        ("card", "language:\n- en\n", ""),
        ("card-schema", "| `perplexity` |", "| `surprise` |"),
        (
            "card-schema",
            "  - name: verify_score\n    dtype: float64",
            "  - name: verify_score\n    dtype: int64",
        ),
        ("card-files", "path: data/train-*.parquet", "path: all_attempts/train-*.parquet"),
        ("shards", "path: data/train-*.parquet", "path: data/test-*.parquet"),
        ("card-count", "num_examples: 12", "num_examples: 13"),
        ("card", "license: apache-2.0", "license: [apache-2.0"),
        ("card", "(images/funnel.png)", "(images/other.png)"),
        ("secret", "## Load", f"## Load {HUB_TOKEN}"),
    ],
)
def test_a_card_that_does_not_fit_is_an_error(release: Path, rule: str, old: str, new: str) -> None:
    card = release / "README.md"
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, new))
    write_manifest(release)
    found = lint_files(release)
    assert rule in rules(found)
    assert all(finding.level == "error" and finding.file == "README.md" for finding in found)


def test_a_missing_configuration_is_an_error(release: Path) -> None:
    shutil.rmtree((release / ATTEMPTS).parent)
    write_manifest(release)
    assert rules(lint_files(release)) == {"shards"}


def test_what_datasets_cannot_load_is_an_error(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = release / "README.md"
    card.write_text(card.read_text().replace("- split: train\n", "- split: 'a b'\n"))
    write_manifest(release)
    monkeypatch.setattr("stillhouse.package.lint._card", lambda _: iter(()))
    found = lint_files(release)
    assert rules(found) == {"load"}
    assert {m.partition("(")[2].partition(")")[0] for m in (f.message for f in found)} >= {"plain"}


def test_a_program_needs_its_share_of_tests_and_any_other_row_the_threshold(release: Path) -> None:
    provenance = release / "provenance.json"
    content = json.loads(provenance.read_text())
    verify = content["predicate"]["buildDefinition"]["externalParameters"]["verify"]
    verify["code"]["pass_share"] = 0.5
    provenance.write_text(json.dumps(content))

    def lower(rows: Rows) -> None:
        for row in rows:
            row["verify_score"] = 0.6

    rows = rewrite(release, lower)
    found = {finding.row for finding in lint_rows(release) if finding.rule == "score"}
    assert found == {row["id"] for row in rows if row["category"] != "code"}


def test_twenty_defects_in_one_release_are_all_found(release: Path) -> None:
    """One release with everything that published sets were seen to ship with; each finding names its row."""

    def spoil(rows: Rows) -> None:
        rows[0]["source_license"] = ""
        rows[1]["finish_reason"] = "length"
        rows[1]["perplexity"] = float("inf")
        rows[2]["id"] = rows[1]["id"]
        say(rows[3], "<think>\nnever closed")
        rows[4]["messages"].pop()
        rows[5]["verify_score"] = 0.2
        answer(rows[6], "\n")
        answer(rows[7], f"the key is {AWS_KEY}")
        answer(rows[8], "mail jane.doe@gmail.com; itâ€™s cafÃ©")
        rows[8]["ground_truth"] = None if rows[8]["category"] == "math" else "1"
        rows[9]["query_id"] = rows[8]["query_id"]
        rows[9]["tokens"] = 0
        rows[10]["category"] = "maths"
        rows[11]["id"] = "0" * 32
        rows[11]["model"] = None

    rows = rewrite(release, spoil)
    math = next(row for row in rows if row["category"] == "math")
    math["ground_truth"], math["tests"] = None, []
    pq.write_table(pa.Table.from_pylist(rows, schema=schema_of("data")), release / SHARD)
    rewrite(release, lambda attempts: attempts[0].update(state="perhaps"), ATTEMPTS)
    rewrite(release, lambda attempts: attempts[1].update(kept=not attempts[1]["kept"]), ATTEMPTS)
    rewrite(release, lambda queries: queries.append(queries[-1]), QUERIES)
    card = release / "README.md"
    card.write_text(card.read_text().replace("license: apache-2.0\n", "", 1))
    found = lint(release, overlaps=lambda chat: "gsm8k/7" if "1 + 1" in str(chat) else None)
    assert rules(found) == {
        "answer",
        "assistant-turn",
        "benchmark-overlap",
        "card-count",
        "category",
        "drop-reason",
        "email",
        "license",
        "manifest",
        "mojibake",
        "null",
        "perplexity",
        "score",
        "secret",
        "sorted",
        "state",
        "think-balance",
        "tokens",
        "truncated",
        "truth",
        "unique-id",
        "unique-query",
    }
    of_rows = [finding for finding in found if finding.file.endswith(".parquet")]
    assert all(finding.row for finding in of_rows if finding.rule != "manifest")
