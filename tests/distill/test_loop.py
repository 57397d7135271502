import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.distill.loop import WALKERS_PER_SLOT, Walk, distill, request_seed
from stillhouse.errors import StillhouseError
from stillhouse.models.client import Model, fingerprint_hash
from stillhouse.models.engine import Completion, EngineError, NoAnswerError, Request
from stillhouse.models.journal import Journal
from stillhouse.records import Message, Query, Response, Verdict, query_id, response_id
from tests.doubles.scripted_engine import ScriptedEngine, said

SECONDS = 20  # after which a test that waits for an event has failed


def query(name: str) -> Query:
    messages = [Message(role="user", content=name)]
    return Query(
        id=query_id(messages),
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=messages,
        ground_truth="right",
    )


async def grade(asked: Query, response: Response) -> Verdict:
    """Pass exactly the answer `right`, as long as it is whole."""
    right = response.answer == asked.ground_truth and response.finish_reason == "stop"
    return Verdict(
        response_id=response.id,
        query_id=asked.id,
        state="pass" if right else "fail",
        score=float(right),
        reason=None if right else "wrong_answer",
        verifier="double",
    )


SCRIPTS = {
    "right": [said("right")],
    "second": [said("wrong"), said("<think>Hm.</think>right")],
    "never": [said("wrong")] * 3,
    "truncated": [said("right", "length")] * 3,
    "unclosed": [said("<think>right")] * 3,
    "replay": [said("wrong")],
    "unknown": [],
}
EXPECTED = {  # attempts, accepted
    "right": (1, True),
    "second": (2, True),
    "never": (3, False),
    "truncated": (3, False),
    "unclosed": (3, False),
    "replay": (1, False),
    "unknown": (0, False),
}


async def scripted(request: Request) -> Completion:
    answers = SCRIPTS[request.messages[-1].content]
    if request.attempt >= len(answers):
        raise NoAnswerError("nothing to replay")
    return answers[request.attempt]


def run(
    queries: Iterable[Query],
    model: Model,
    *,
    grading: Callable[[Query, Response], Awaitable[Verdict]] = grade,
    max_attempts: int = 3,
    finished: Callable[[Walk], None] | None = None,
) -> dict[str, Walk]:
    walks: dict[str, Walk] = {}

    def keep(walk: Walk) -> None:
        assert walk.query.prompt not in walks
        walks[walk.query.prompt] = walk
        if finished is not None:
            finished(walk)

    async def within_time() -> None:
        async with asyncio.timeout(SECONDS):
            await distill(
                queries,
                "teacher",
                model,
                grading,
                reasoning="think_tags",
                max_attempts=max_attempts,
                run_seed=7,
                finished=keep,
            )

    asyncio.run(within_time())
    return walks


@pytest.fixture
def journal(tmp_path: Path):
    with Journal.open(tmp_path) as opened:
        yield opened


def test_each_query_is_asked_until_accepted_or_out_of_attempts(journal: Journal):
    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query(name) for name in SCRIPTS], model)
    found = {name: (len(walk.responses), walk.accepted) for name, walk in walks.items()}
    assert found == EXPECTED
    for walk in walks.values():
        assert [r.attempt for r in walk.responses] == list(range(len(walk.responses)))


def test_an_attempt_is_recorded_whole(journal: Journal):
    engine = ScriptedEngine(scripted)
    walks = run([query("second"), query("unclosed")], Model(engine, journal, "teacher", "t"))
    asked = query("second")
    text = "<think>Hm.</think>right"
    assert walks["second"].responses[1] == Response(
        id=response_id(asked.id, "teacher", 1, text),
        query_id=asked.id,
        teacher="teacher",
        attempt=1,
        seed=request_seed(asked.id, "teacher", 1, 7),
        text=text,
        think="Hm.",
        answer="right",
        finish_reason="stop",
        prompt_tokens=5,
        completion_tokens=1,
        fingerprint=fingerprint_hash(engine.fingerprint),
    )
    assert [(r.think, r.answer) for r in walks["unclosed"].responses] == [("right", "")] * 3


def test_a_second_run_asks_nothing_and_gives_the_same_walks(journal: Journal):
    queries = [query(name) for name in ("right", "second", "never", "truncated", "unclosed")]
    first = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run(queries, first)
    attempts = sum(len(walk.responses) for walk in walks.values())
    assert (first.hits, first.asked) == (0, attempts)
    engine = ScriptedEngine(scripted)
    second = Model(engine, journal, "teacher", "t")
    assert run(queries, second) == walks
    assert (second.hits, second.asked, engine.requests) == (attempts, 0, [])


def test_a_new_query_asks_for_its_own_answer_only(journal: Journal):
    run([query("right"), query("never")], Model(ScriptedEngine(scripted), journal, "teacher", "t"))
    engine = ScriptedEngine(scripted)
    run([query("second"), query("right"), query("never")], Model(engine, journal, "teacher", "t"))
    assert {request.messages[-1].content for request in engine.requests} == {"second"}


@settings(deadline=None, max_examples=30)
@given(
    names=st.lists(st.sampled_from(sorted(SCRIPTS)), unique=True, min_size=1),
    concurrency=st.integers(1, 4),
    data=st.data(),
)
def test_order_and_concurrency_have_no_influence_on_any_attempt(
    names: list[str], concurrency: int, data: st.DataObject
):
    shuffled = data.draw(st.permutations(names))
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder)) as unused:
        one, other = (
            run(
                [query(name) for name in order],
                Model(
                    ScriptedEngine(scripted, concurrency=slots, journaled=False),
                    unused,
                    "teacher",
                    "t",
                ),
            )
            for order, slots in ((names, 4), (shuffled, concurrency))
        )
    assert one == other
    seeds = [r.seed for walk in one.values() for r in walk.responses]
    assert len(set(seeds)) == len(seeds)


@given(st.text(max_size=8), st.text(max_size=8), st.integers(0, 9), st.integers(0, 9))
def test_a_seed_has_63_bits_and_follows_each_of_its_parts(
    asked: str, teacher: str, attempt: int, run_seed: int
):
    seed = request_seed(asked, teacher, attempt, run_seed)
    assert 0 <= seed < 2**63
    others = {
        request_seed(asked + "x", teacher, attempt, run_seed),
        request_seed(asked, teacher + "x", attempt, run_seed),
        request_seed(asked, teacher, attempt + 1, run_seed),
        request_seed(asked, teacher, attempt, run_seed + 1),
    }
    assert len(others | {seed}) == 5


def test_a_slow_answer_holds_up_no_other_query(journal: Journal):
    others_done = asyncio.Event()
    done: list[str] = []

    async def slow_first(request: Request) -> Completion:
        if request.messages[-1].content == "right":
            await others_done.wait()
        return await scripted(request)

    def finished(walk: Walk) -> None:
        done.append(walk.query.prompt)
        if len(done) == len(SCRIPTS) - 1:
            others_done.set()

    model = Model(ScriptedEngine(slow_first, concurrency=1), journal, "teacher", "t")
    run([query(name) for name in SCRIPTS], model, finished=finished)
    assert done[-1] == "right"
    assert len(done) == len(SCRIPTS)


def test_a_slow_verdict_holds_up_neither_other_queries_nor_their_retries(journal: Journal):
    never_is_through = asyncio.Event()

    async def slow_verdict(asked: Query, response: Response) -> Verdict:
        if asked.prompt == "right":
            await never_is_through.wait()
        if asked.prompt == "never" and response.attempt == 2:
            never_is_through.set()
        return await grade(asked, response)

    model = Model(ScriptedEngine(scripted, concurrency=1), journal, "teacher", "t")
    walks = run([query("right"), query("never")], model, grading=slow_verdict)
    assert walks["right"].accepted
    assert len(walks["never"].responses) == 3


def test_queries_are_drawn_only_as_they_are_walked(journal: Journal):
    drawn: list[int] = []
    most_ahead = 0

    def stream() -> Iterable[Query]:
        for number in range(40):
            drawn.append(number)
            yield query(f"number {number}")

    def finished(_: Walk) -> None:
        nonlocal ended, most_ahead
        ended += 1
        most_ahead = max(most_ahead, len(drawn) - ended)

    ended = 0

    async def right(_: Request) -> Completion:
        return said("right")

    model = Model(ScriptedEngine(right, concurrency=2), journal, "teacher", "t")
    assert len(run(stream(), model, finished=finished)) == 40
    assert most_ahead < 2 * WALKERS_PER_SLOT


def test_an_engine_error_surfaces_as_itself_and_finished_answers_are_kept(journal: Journal):
    failure = EngineError("the endpoint is gone")

    async def gone_after_two(request: Request) -> Completion:
        if request.messages[-1].content == "never" and request.attempt == 2:
            raise failure
        return await scripted(request)

    model = Model(ScriptedEngine(gone_after_two), journal, "teacher", "t")
    with pytest.raises(EngineError) as raised:
        run([query("never")], model)
    assert raised.value is failure
    again = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    assert len(run([query("never")], again)["never"].responses) == 3
    assert (again.hits, again.asked) == (2, 1)


def test_many_errors_at_once_surface_as_one(journal: Journal):
    async def gone(_: Request) -> Completion:
        raise EngineError("the endpoint is gone")

    model = Model(ScriptedEngine(gone), journal, "teacher", "t")
    with pytest.raises(EngineError, match="the endpoint is gone"):
        run([query(name) for name in SCRIPTS], model)


def test_an_error_of_the_verifier_surfaces_as_itself(journal: Journal):
    async def broken(_: Query, __: Response) -> Verdict:
        raise StillhouseError("no sandbox here")

    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    with pytest.raises(StillhouseError, match="no sandbox here"):
        run([query("right")], model, grading=broken)


def test_no_queries_is_no_work(journal: Journal):
    assert run([], Model(ScriptedEngine(scripted), journal, "teacher", "t")) == {}
