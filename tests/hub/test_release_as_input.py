"""A released set as the input of a new run: its answers replayed, its questions as queries."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from stand_in import TOKEN, HubStandIn

from stillhouse.records import Example
from stillhouse.release.hub import Access, publish
from stillhouse.release.package import write_release
from stillhouse.tables import read_table
from tests.release.release_fixture import CARDS, facts, write_tables

REPO = "tester/parallel_sums-tiny"
READ = """
import json
from stillhouse.models.replay_rows import ReplaySource
from stillhouse.params import HubSource, ReplayHub
from stillhouse.queries.sources import load_source

columns = {{"query_id": "query_id", "text": "answer", "reasoning": "think"}}
where = {{"kind": "hub", "repo": "{repo}", "revision": "{commit}"}}
replay = ReplaySource(ReplayHub(files=["data/*.parquet"], columns=columns, **where))
answers = [[a.key, a.text, a.reasoning] for row in replay.rows() for a in row.answers]
source = HubSource(
    id="released", category="other", license="apache-2.0",
    columns={{"messages": "messages", "ground_truth": "ground_truth"}}, **where,
)
queries = [[query.id, query.ground_truth] for query in load_source(source, 1)]
print(json.dumps([answers, queries]))
"""


@pytest.mark.slow
def test_a_release_is_replayed_and_asked_again(
    hub: HubStandIn, run_python: Callable[[str], str], tmp_path: Path
) -> None:
    tables = write_tables(tmp_path / "tables")
    write_release(tmp_path / "release", tables, facts(), CARDS)
    api = HfApi(endpoint=hub.endpoint, token=TOKEN)
    folder, access = tmp_path / "release/tiny", Access(private=False)
    receipt = publish(folder, REPO, "1.0.0", access=access, api=api)
    printed = run_python(READ.format(repo=REPO, commit=receipt.commit))
    answers, queries = json.loads(printed.splitlines()[-1])
    released = list(read_table(tables.teachers["tiny"].aligned, Example))
    assert answers == [[row.query_id, row.answer, row.think] for row in released]
    assert queries == [[row.query_id, row.ground_truth] for row in released]
