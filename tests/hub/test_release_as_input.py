"""A released set as the input of a new run: its answers replayed, its questions as queries."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from huggingface_hub import HfApi

from stillhouse.hub.publish import Access, publish
from stillhouse.package.write import write_release
from stillhouse.records import CATEGORIES, Example, Query
from stillhouse.tables.read import read_table
from tests.hub.stand_in import TOKEN, HubStandIn
from tests.package.release_fixture import CARDS, facts, metrics, of_every_category, write_tables

REPO = "tester/parallel_sums-tiny"
READ = """
import json
import msgspec
from stillhouse.models.replay.rows import ReplaySource
from stillhouse.params.queries import HubSource
from stillhouse.params.teacher import ReplayHub
from stillhouse.queries.sources import load_source
from stillhouse.records import Query

repo = {{"kind": "hub", "repo": "{repo}", "revision": "{commit}"}}
replay = ReplaySource(ReplayHub(files=["data/*.parquet"], **repo))
answers = [[a.key, a.text, a.reasoning] for row in replay.rows() for a in row.answers]
queries = []
for category in {categories}:
    source = HubSource(
        id="released", category=category, license="unknown", **repo
    )
    queries += [row for row in load_source(source, 1) if isinstance(row, Query)]
print(json.dumps([answers, msgspec.to_builtins(queries)]))
"""


@pytest.mark.slow
def test_a_release_is_replayed_and_asked_again(
    hub: HubStandIn, run_python: Callable[[str], str], tmp_path: Path
) -> None:
    rows = of_every_category()
    changed = metrics()
    changed["align"]["parallel"] = len(rows)
    tables = write_tables(tmp_path / "tables", rows)
    write_release(tmp_path / "release", tables, facts(metrics=changed), CARDS)
    api = HfApi(endpoint=hub.endpoint, token=TOKEN)
    folder, access = tmp_path / "release/tiny", Access(private=False)
    receipt = publish(folder, REPO, "1.0.0", access=access, api=api)
    script = READ.format(repo=REPO, commit=receipt.commit, categories=CATEGORIES)
    answers, queries = json.loads(run_python(script).splitlines()[-1])
    released = list(read_table(tables.teachers["tiny"].aligned, Example))
    assert answers == [[row.query_id, row.answer, row.think] for row in released]
    asked = {row.query_id for row in released}
    original = [query for query in read_table(tables.queries, Query) if query.id in asked]
    found = sorted(msgspec.convert(queries, list[Query]), key=lambda query: query.id)
    assert {query.category for query in original} == set(CATEGORIES)
    assert found == [msgspec.structs.replace(query, source="released") for query in original]
