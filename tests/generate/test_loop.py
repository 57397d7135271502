import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import StillhouseError
from stillhouse.generate.formats import SAMPLE, FormatCheck, FormatError
from stillhouse.generate.loop import (
    ASKED_PER_SLOT,
    WALKERS_PER_SLOT,
    BudgetError,
    Loop,
    Walk,
    request_seed,
)
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model, fingerprint_hash
from stillhouse.models.engine import (
    Completion,
    EngineError,
    NoAnswerError,
    RefusedError,
    Request,
    UnansweredError,
)
from stillhouse.params.files import parse
from stillhouse.params.generate import Budget, Generate
from stillhouse.params.teacher import Teacher
from stillhouse.records import Category, Message, Query, Response, Verdict, query_id, response_id
from tests.doubles.scripted_engine import ScriptedEngine, said

SECONDS = 20  # after which a test that waits for an event has failed


SPEC = {
    "label": "t",
    "engine": "vllm",
    "model": "m",
    "revision": "a" * 40,
    "license": "mit",
    "reasoning": "think_tags",
    "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 10},
    "price": {"prompt": 1e6, "completion": 2e6},  # a dollar and two dollars a token
}


def query(name: str, category: Category = "math") -> Query:
    messages = [Message(role="user", content=name)]
    return Query(
        id=query_id(messages),
        category=category,
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
    finished: Callable[[Walk], None] | None = None,
    budget: Budget | None = None,
    judge_cost: Callable[[], float | None] = lambda: None,
    most_unanswered: int | None = None,
    teacher: str = "teacher",
    spec: dict[str, object] = SPEC,
    **rules: object,
) -> dict[str, Walk]:
    walks: dict[str, Walk] = {}

    def keep(walk: Walk) -> None:
        assert walk.query.prompt not in walks
        walks[walk.query.prompt] = walk
        if finished is not None:
            finished(walk)

    loop = Loop(
        teacher,
        parse(Teacher, spec, "spec"),
        model,
        grading,
        parse(Generate, {"max_attempts": 3, **rules}, "generate"),
        run_seed=7,
        budget=budget,
        judge_cost=judge_cost,
        most_unanswered=most_unanswered,
    )

    async def within_time() -> None:
        async with asyncio.timeout(SECONDS):
            await loop.run(queries, keep)

    asyncio.run(within_time())
    assert loop.in_flight == 0
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


def ungradable(asked: Query, response: Response, reason: str) -> Verdict:
    return Verdict(
        response_id=response.id,
        query_id=asked.id,
        state="ungradable",
        score=None,
        reason=reason,
        verifier="double",
    )


@pytest.mark.parametrize("reason", ["timeout", "crash", "sandbox_failed", "judge_unavailable"])
def test_trouble_of_the_machine_asks_the_teacher_nothing_more_and_ends_one_walk(
    journal: Journal, reason: str
):
    async def troubled(asked: Query, response: Response) -> Verdict:
        if asked.prompt == "second" and response.attempt == 0:
            return ungradable(asked, response, reason)
        return await grade(asked, response)

    engine = ScriptedEngine(scripted)
    model = Model(engine, journal, "teacher", "t")
    walks = run([query(name) for name in ("second", "right", "never")], model, grading=troubled)
    found = walks["second"]
    assert (len(found.attempts), found.stop, found.ungradable) == (1, "ungradable", [reason])
    assert not found.accepted
    assert [r.attempt for r in engine.requests if r.messages[-1].content == "second"] == [0]
    assert walks["right"].accepted
    assert walks["never"].stop == "max_attempts"


def test_what_stays_ungradable_is_not_accepted_so_the_next_attempt_is_asked(journal: Journal):
    async def unread(asked: Query, response: Response) -> Verdict:
        if response.attempt == 0:
            return ungradable(asked, response, "unread")
        return await grade(asked, response)

    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query("second"), query("never")], model, grading=unread)
    assert (len(walks["second"].attempts), walks["second"].accepted) == (2, True)
    assert walks["second"].ungradable == ["unread"]
    assert (len(walks["never"].attempts), walks["never"].stop) == (3, "max_attempts")


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
        think="Hm.",
        answer="right",
        frame=["<think>", "</think>", ""],
        finish_reason="stop",
        prompt_tokens=5,
        completion_tokens=1,
        cost=7.0,
        fingerprint=fingerprint_hash(engine.fingerprint),
    )
    assert walks["second"].responses[1].text == text
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


def test_a_renamed_teacher_with_its_old_id_as_seed_name_asks_nothing(journal: Journal):
    queries = [query(name) for name in ("right", "second", "never")]
    walks = run(queries, Model(ScriptedEngine(scripted), journal, "teacher", "teacher"))
    without = Model(ScriptedEngine(scripted), journal, "teacher", "renamed")
    run(queries, without, teacher="renamed")
    assert (without.hits, without.asked) == (0, 6)
    named = Model(ScriptedEngine(scripted), journal, "teacher", "again")
    renamed = run(queries, named, teacher="again", spec=SPEC | {"seed_name": "teacher"})
    assert (named.hits, named.asked) == (6, 0)
    for name, walk in renamed.items():
        assert [r.seed for r in walk.responses] == [r.seed for r in walks[name].responses]
        assert {r.teacher for r in walk.responses} == {"again"}


def test_the_record_of_a_teacher_without_a_seed_name_has_no_such_key():
    assert "seed_name" not in parse(Teacher, SPEC, "spec").model_dump()
    named = parse(Teacher, SPEC | {"seed_name": "old"}, "spec").model_dump()
    assert parse(Teacher, named, "record").seed_name == "old"


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


def test_queries_are_begun_before_others_are_asked_again(journal: Journal):
    names = [f"number {number}" for number in range(WALKERS_PER_SLOT)]

    async def wrong(_: Request) -> Completion:
        return said("wrong")

    engine = ScriptedEngine(wrong, concurrency=1)
    run([query(name) for name in names], Model(engine, journal, "teacher", "t"))
    begun = [(r.messages[-1].content, r.attempt) for r in engine.requests[: len(names)]]
    assert begun == [(name, 0) for name in names]


def test_the_engine_has_at_once_what_it_runs_and_what_waits_at_its_door(journal: Journal):
    at_once: list[int] = [0]

    async def slow(_: Request) -> Completion:
        at_once.append(at_once[-1] + 1)
        await asyncio.sleep(0.001)
        at_once.append(at_once[-1] - 1)
        return said("right")

    model = Model(ScriptedEngine(slow, concurrency=3), journal, "teacher", "t")
    run([query(f"number {number}") for number in range(50)], model)
    assert max(at_once) == 3 * ASKED_PER_SLOT


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


def test_each_walk_says_why_it_ended(journal: Journal):
    walks = run(
        [query(name) for name in SCRIPTS], Model(ScriptedEngine(scripted), journal, "teacher", "t")
    )
    assert {name: walk.stop for name, walk in walks.items()} == {
        "right": "accepted",
        "second": "accepted",
        "never": "max_attempts",
        "truncated": "max_attempts",
        "unclosed": "max_attempts",
        "replay": "no_answer",
        "unknown": "no_answer",
    }


def test_a_truncated_answer_is_never_accepted_whatever_the_verifier_says(journal: Journal):
    async def says_yes(asked: Query, response: Response) -> Verdict:
        graded.append(response.finish_reason)
        return Verdict(
            response_id=response.id,
            query_id=asked.id,
            state="pass",
            score=1.0,
            reason=None,
            verifier="double",
        )

    graded: list[str] = []
    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query("truncated"), query("never")], model, grading=says_yes)
    assert (walks["truncated"].accepted, len(walks["truncated"].attempts)) == (False, 3)
    assert walks["never"].accepted
    assert graded == ["stop"]


def test_after_a_truncated_answer_the_next_may_be_longer(journal: Journal):
    longer = {"factor": 1.5, "max_tokens": 20}
    engine = ScriptedEngine(scripted)
    run(
        [query("truncated"), query("never")],
        Model(engine, journal, "teacher", "t"),
        after_truncated=longer,
    )
    limits = {
        name: [r.max_tokens for r in engine.requests if r.messages[-1].content == name]
        for name in ("truncated", "never")
    }
    assert limits == {"truncated": [None, 15, 20], "never": [None, None, None]}
    # Another limit is another question: nothing but the first attempts comes from the journal.
    engine = ScriptedEngine(scripted)
    again = Model(engine, journal, "teacher", "t")
    run([query("truncated")], again, after_truncated={"factor": 1.2, "max_tokens": 20})
    assert [r.max_tokens for r in engine.requests] == [12, 14]
    assert again.hits == 1


def test_a_category_has_its_own_number_of_attempts(journal: Journal):
    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    asked = [query("never", "code"), query("truncated", "math")]
    walks = run(asked, model, max_attempts=1, by_category={"code": {"max_attempts": 2}})
    assert {name: len(walk.attempts) for name, walk in walks.items()} == {
        "never": 2,
        "truncated": 1,
    }


# An attempt at "never" is 5 prompt tokens and 1 answer token: 6 tokens, 7 dollars.
@pytest.mark.parametrize(
    ("limits", "attempts"),
    [({"tokens": 6}, 1), ({"tokens": 7}, 2), ({"cost": 7.0}, 1), ({"cost": 14.5}, 3)],
)
def test_a_query_that_has_used_up_its_budget_is_left(
    journal: Journal, limits: dict[str, float], attempts: int
):
    model = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query("never")], model, query_budget=limits)
    assert len(walks["never"].attempts) == attempts
    assert walks["never"].stop == ("max_attempts" if attempts == 3 else "query_budget")


def test_the_teachers_budget_stops_the_run_and_keeps_what_was_answered(journal: Journal):
    engine = ScriptedEngine(scripted, concurrency=1)
    model = Model(engine, journal, "teacher", "t")
    names = ["never", "truncated", "unclosed"]
    with pytest.raises(
        BudgetError,
        match=r"budget in conf/runtime.yaml is used up: \d+ tokens.*stillhouse plan teacher",
    ):
        run([query(name) for name in names], model, budget=Budget(tokens=20))
    asked = len(engine.requests)
    assert asked < 9
    again = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query(name) for name in names], again, budget=Budget(tokens=1000))
    assert sum(len(walk.attempts) for walk in walks.values()) == 9
    assert (again.hits, again.asked) == (asked, 9 - asked)


def test_a_used_up_budget_leaves_unasked_what_waits_for_a_place(journal: Journal):
    async def wrong(_: Request) -> Completion:
        return said("wrong")

    engine = ScriptedEngine(wrong, concurrency=1)
    names = [f"number {number}" for number in range(3 * WALKERS_PER_SLOT)]
    with pytest.raises(BudgetError):
        run(
            [query(name) for name in names],
            Model(engine, journal, "teacher", "t"),
            budget=Budget(tokens=1),
        )
    assert len(engine.requests) <= ASKED_PER_SLOT


@settings(deadline=None, max_examples=30)
@given(
    limit=st.integers(30, 70),
    order=st.permutations(["never", "truncated", "unclosed", "right"]),
    concurrency=st.integers(1, 4),
)
def test_whether_a_budget_is_enough_depends_on_neither_order_nor_concurrency(
    limit: int, order: list[str], concurrency: int
):
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder)) as unused:
        engine = ScriptedEngine(scripted, concurrency=concurrency, journaled=False)
        model = Model(engine, unused, "teacher", "t")
        cost = 3 * 6 + 3 * 6 + 3 * 6 + 6
        if limit >= cost:
            assert len(run([query(n) for n in order], model, budget=Budget(tokens=limit))) == 4
        else:
            with pytest.raises(BudgetError):
                run([query(n) for n in order], model, budget=Budget(tokens=limit))


@settings(deadline=None, max_examples=30)
@given(
    limit=st.integers(4, 10),
    order=st.permutations(["never", "truncated", "unclosed", "right"]),
    concurrency=st.integers(1, 4),
)
def test_what_the_judge_costs_counts_in_whatever_order(
    limit: int, order: list[str], concurrency: int
):
    """A dollar for each answer that is graded: three, none, three and one; the teacher's ten cost seven each."""
    judged: list[str] = []

    async def grade_for_a_dollar(asked: Query, response: Response) -> Verdict:
        judged.append(asked.prompt)
        return await grade(asked, response)

    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder)) as unused:
        engine = ScriptedEngine(scripted, concurrency=concurrency, journaled=False)
        model = Model(engine, unused, "teacher", "t")

        def walk_all() -> dict[str, Walk]:
            return run(
                [query(name) for name in order],
                model,
                grading=grade_for_a_dollar,
                budget=Budget(cost=70 + limit),
                judge_cost=lambda: float(len(judged)),
            )

        if limit >= 7:
            assert len(walk_all()) == 4
            assert len(judged) == 7
        else:
            with pytest.raises(BudgetError, match=r"\$\d\.\d\d of it for the judge"):
                walk_all()


def test_a_refused_request_costs_its_own_query_only(journal: Journal):
    async def refuses(request: Request) -> Completion:
        if request.messages[-1].content == "never":
            raise RefusedError("the prompt is longer than the context")
        return await scripted(request)

    model = Model(ScriptedEngine(refuses), journal, "teacher", "t")
    walks = run([query("right"), query("never")], model)
    assert {name: walk.stop for name, walk in walks.items()} == {
        "right": "accepted",
        "never": "refused",
    }
    with pytest.raises(RefusedError, match="longer than the context"):
        run([query("never")], model)


async def fails_on_never_and_second(request: Request) -> Completion:
    """Fail for one query at once, and for another at its second attempt."""
    asked = request.messages[-1].content
    if asked == "never" or (asked == "second" and request.attempt == 1):
        raise UnansweredError("HTTP 500: grammar", "HTTP 500")
    return await scripted(request)


def test_a_query_that_keeps_failing_is_unanswered_and_its_reason_is_kept(journal: Journal):
    engine = ScriptedEngine(fails_on_never_and_second)
    model = Model(engine, journal, "teacher", "t")
    walks = run([query(name) for name in SCRIPTS], model, most_unanswered=2)
    for name, attempts in (("never", 0), ("second", 1)):
        found = walks[name]
        assert (found.stop, len(found.attempts), found.accepted) == ("failed", attempts, False)
        assert found.error is not None
        assert (found.error.kind, str(found.error)) == ("HTTP 500", "HTTP 500: grammar")
    assert walks["right"].accepted
    # The failures are in no journal: the next run asks for them again, and for nothing else.
    again = Model(ScriptedEngine(scripted), journal, "teacher", "t")
    walks = run([query(name) for name in SCRIPTS if name != "replay"], again)
    assert (len(walks["never"].attempts), walks["second"].accepted) == (3, True)
    assert again.asked == 4 + 1  # three attempts, one, and one that is in no script


def test_more_unanswered_queries_than_allowed_end_the_run_with_the_last_reason(journal: Journal):
    async def refuses_truncated(request: Request) -> Completion:
        if request.messages[-1].content == "truncated":
            raise RefusedError("HTTP 400: too long", "HTTP 400")
        return await fails_on_never_and_second(request)

    model = Model(ScriptedEngine(refuses_truncated), journal, "teacher", "t")
    with pytest.raises(
        EngineError, match=r"3 queries have no answer, more than `max_unanswered`.*HTTP \d00: "
    ):
        run([query(name) for name in SCRIPTS], model, most_unanswered=2)


def test_an_answer_that_the_server_withheld_is_never_accepted(journal: Journal):
    graded: list[str] = []

    async def withheld(request: Request) -> Completion:
        return said("right", ("content_filter", "odd", "stop")[request.attempt])

    async def counted(asked: Query, response: Response) -> Verdict:
        graded.append(response.finish_reason)
        return await grade(asked, response)

    model = Model(ScriptedEngine(withheld), journal, "teacher", "t")
    walks = run([query("right")], model, grading=counted)
    reasons = [response.finish_reason for response in walks["right"].responses]
    assert reasons == ["content_filter", "odd", "stop"]
    assert graded == ["stop"]
    assert walks["right"].accepted


def test_a_row_names_what_its_answer_was_made_on(journal: Journal):
    async def on_two_devices(request: Request) -> Completion:
        answer = await scripted(request)
        return msgspec.structs.replace(answer, made_on={"device": f"gpu {request.attempt % 2}"})

    engine = ScriptedEngine(on_two_devices)
    walks = run([query("never")], Model(engine, journal, "teacher", "t"))
    expected = [
        fingerprint_hash({**engine.fingerprint, "made_on": {"device": f"gpu {n}"}})
        for n in (0, 1, 0)
    ]
    assert [r.fingerprint for r in walks["never"].responses] == expected


def test_an_answer_with_a_stray_mark_is_not_graded_and_the_next_one_is_asked(journal: Journal):
    graded: list[str] = []

    async def noting(asked: Query, response: Response) -> Verdict:
        graded.append(response.answer)
        return await grade(asked, response)

    async def marked(request: Request) -> Completion:
        texts = ["right<|im_start|>user", "<think>Hm.</think></think>right", "right"]
        return said(texts[request.attempt])

    model = Model(ScriptedEngine(marked), journal, "teacher", "t")
    (walk,) = run([query("right")], model, grading=noting).values()
    assert walk.accepted
    assert [attempt.stray_mark for attempt in walk.attempts] == [True, True, False]
    assert graded == ["right"]


def test_a_wrong_reasoning_format_stops_the_run_and_the_right_one_asks_nothing_again(
    journal: Journal,
):
    async def thinking(request: Request) -> Completion:
        return said("[THINK]Hm.[/THINK]right")

    engine = ScriptedEngine(thinking, concurrency=2)

    def run_with(reasoning: str) -> int:
        """Return how many answers were accepted."""
        model = Model(engine, journal, "teacher", "t")
        spec = parse(Teacher, SPEC | {"reasoning": reasoning}, "spec")
        rules = parse(Generate, {"max_attempts": 1}, "generate")
        check = FormatCheck("teacher", spec.reasoning)
        loop = Loop("teacher", spec, model, grade, rules, run_seed=7, format_check=check)
        walks: list[Walk] = []
        asyncio.run(loop.run([query(f"right {n}") for n in range(200)], walks.append))
        return sum(walk.accepted for walk in walks)

    with pytest.raises(FormatError, match="\n  reasoning: bracket_think\n"):
        run_with("think_tags")
    # What is asked at the same time may be answered too; the other queries are not asked.
    asked = len(engine.requests)
    assert SAMPLE <= asked <= SAMPLE + 2 * ASKED_PER_SLOT
    assert run_with("bracket_think") == 200
    assert len(engine.requests) - asked <= 200 - SAMPLE
