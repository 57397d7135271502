"""The join of a teacher's tables."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.records import Perplexity, Query, Response, State, Verdict
from stillhouse.tables.attempts import AttemptsError, read_attempts
from stillhouse.tables.write import write_table
from tests.filter.graded import perplexity, query, response, verdict

QUERIES = [query(name=f"question {i}") for i in range(4)]


def write(
    root: Path,
    responses: list[Response],
    *,
    queries: list[Query] = QUERIES,
    judged: list[Response] | None = None,
    scored: list[Response] | None = None,
) -> None:
    write_table(root / "data/queries/curated", Query, queries)
    write_table(root / "data/responses/t/attempts", Response, responses)
    verdicts = [verdict(r) for r in (responses if judged is None else judged)]
    write_table(root / "data/verdicts/t", Verdict, verdicts)
    write_table(root / "data/perplexity/t", Perplexity, [perplexity(r) for r in scored or []])


@settings(deadline=None, max_examples=25)
@given(counts=st.lists(st.integers(0, 3), min_size=4, max_size=4), data=st.data())
def test_each_query_comes_with_its_attempts_in_their_order(tmp_path_factory, counts, data):
    folder = tmp_path_factory.mktemp("run")
    made = [
        response(q, attempt=n, answer=f"{q.id} {n}")
        for q, count in zip(QUERIES, counts, strict=True)
        for n in range(count)
    ]
    scored = [r for r in made if data.draw(st.booleans())]
    write(folder, made, scored=scored)
    found = list(read_attempts("t", verdicts=True, perplexities=True, root=folder))
    assert [q for q, _ in found] == sorted(QUERIES, key=lambda q: q.id)
    for asked, attempts in found:
        own = [r for r in made if r.query_id == asked.id]
        assert [a.response for a in attempts] == own
        assert all(a.query == asked and a.verdict == verdict(a.response) for a in attempts)
        assert [a.perplexity for a in attempts] == [
            perplexity(r) if r in scored else None for r in own
        ]


def test_what_is_not_asked_for_is_not_read(tmp_path):
    made = response(QUERIES[0])
    write_table(tmp_path / "data/queries/curated", Query, QUERIES)
    write_table(tmp_path / "data/responses/t/attempts", Response, [made])
    (attempt,) = [a for _, attempts in read_attempts("t", root=tmp_path) for a in attempts]
    assert (attempt.verdict, attempt.perplexity) == (None, None)


def test_the_answers_alone_are_read_where_that_is_enough(tmp_path):
    made = response(QUERIES[0], answer="It is 7.")
    made = msgspec.structs.replace(made, think="Three and four.")
    write_table(tmp_path / "data/queries/curated", Query, QUERIES)
    write_table(tmp_path / "data/responses/t/attempts", Response, [made])
    found = read_attempts("t", answers_only=True, root=tmp_path)
    (attempt,) = [a for _, attempts in found for a in attempts]
    assert attempt.response == msgspec.structs.replace(made, think="", frame=[])


def test_rows_of_another_run_are_an_error(tmp_path):
    unmatched = response(query(name="asked in another run"))
    own = response(QUERIES[0])
    write(tmp_path, [own, unmatched])
    with pytest.raises(AttemptsError, match=unmatched.id):
        list(read_attempts("t", root=tmp_path))
    write(tmp_path, [own], judged=[])
    with pytest.raises(AttemptsError, match=f"no row for {own.id}"):
        list(read_attempts("t", verdicts=True, root=tmp_path))
    write(tmp_path, [own], judged=[own, unmatched])
    with pytest.raises(AttemptsError, match=unmatched.id):
        list(read_attempts("t", verdicts=True, root=tmp_path))


def test_the_state_of_a_verdict_is_kept(tmp_path):
    states: list[State] = ["fail", "ungradable"]
    made = [response(QUERIES[i], answer=str(i)) for i in range(2)]
    write(tmp_path, made)
    write_table(
        tmp_path / "data/verdicts/t",
        Verdict,
        [verdict(r, s) for r, s in zip(made, states, strict=True)],
    )
    found = {
        a.response.id: a.verdict.state
        for _, attempts in read_attempts("t", verdicts=True, root=tmp_path)
        for a in attempts
        if a.verdict
    }
    assert found == {r.id: s for r, s in zip(made, states, strict=True)}
