"""How the limit of an endpoint finds itself, and when an endpoint rests, by a clock that the test moves."""

import asyncio
from collections import Counter

import pytest

from stillhouse.models.endpoints import (
    LONGEST_REST_SECONDS,
    PATIENCE_SECONDS,
    START,
    Endpoint,
    Endpoints,
)
from stillhouse.models.engine import EngineError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_limit_doubles_by_round_until_there_is_too_much_and_then_grows_by_one(clock: Clock):
    endpoint = Endpoint("u", 1000, clock)
    for _ in range(START):
        endpoint.answered()
    assert endpoint.limit == 2 * START
    endpoint.overloaded(clock.now)
    assert endpoint.limit == START
    for _ in range(START + 1):
        endpoint.answered()
    assert START + 0.9 < endpoint.limit < START + 1.1


def test_the_limit_never_passes_the_highest(clock: Clock):
    endpoint = Endpoint("u", 20, clock)
    for _ in range(100):
        endpoint.answered()
    assert endpoint.room == 20
    assert Endpoint("u", 3, clock).room == 3


def test_one_overload_halves_once_for_all_that_were_in_flight(clock: Clock):
    endpoint = Endpoint("u", 1000, clock)
    asked_at = clock.now
    clock.now += 1
    for _ in range(10):
        endpoint.overloaded(asked_at)
    assert endpoint.limit == START / 2
    for _ in range(20):
        clock.now += 1
        endpoint.overloaded(clock.now)
    assert endpoint.limit == 1


def test_retry_after_is_a_rest_with_an_end(clock: Clock):
    endpoint = Endpoint("u", 10, clock)
    endpoint.overloaded(clock.now, retry_after=1e9)
    clock.now += LONGEST_REST_SECONDS - 1
    assert endpoint.room == 0
    clock.now += 2
    assert endpoint.room > 0


def test_a_dead_endpoint_rests_longer_each_time_and_is_tried_with_one_request(clock: Clock):
    endpoint = Endpoint("u", 1000, clock)
    rests = []
    for _ in range(10):
        endpoint.unreachable(clock.now)
        endpoint.unreachable(clock.now - 0.001)  # was in flight before
        rests.append(endpoint.rests_until - clock.now)
        assert endpoint.room == 0
        clock.now = endpoint.rests_until
        assert endpoint.room == 1
    assert rests[0] < 1.3
    assert rests[0] < rests[2] < rests[4]
    assert rests[-1] <= 1.25 * LONGEST_REST_SECONDS
    endpoint.answered()
    assert endpoint.room > 1


def test_failures_take_an_endpoint_out_only_in_a_row(clock: Clock):
    endpoint = Endpoint("u", 1000, clock)
    for _ in range(10):
        endpoint.faulty(clock.now)
        endpoint.faulty(clock.now)
        endpoint.answered()
    assert not endpoint.is_down
    for _ in range(3):
        endpoint.faulty(clock.now)
    assert endpoint.is_down


def test_requests_go_where_the_load_is_lightest_and_where_they_have_not_failed(clock: Clock):
    async def run() -> None:
        pool = Endpoints(["a", "b"], 4, clock)
        urls = [(await pool.acquire(Counter())).url for _ in range(6)]
        assert Counter(urls) == {"a": 3, "b": 3}
        assert (await pool.acquire(Counter(a=1))).url == "b"
        assert (await pool.acquire(Counter(b=1))).url == "a"

    asyncio.run(run())


def test_who_waits_is_served_in_turn_and_none_is_forgotten(clock: Clock):
    async def run() -> list[int]:
        pool = Endpoints(["a"], 2, clock)
        served: list[int] = []

        async def one(number: int) -> None:
            endpoint = await pool.acquire(Counter())
            served.append(number)
            await asyncio.sleep(0)
            endpoint.answered()
            pool.release(endpoint)

        tasks = [asyncio.create_task(one(number)) for number in range(50)]
        await asyncio.sleep(0)
        tasks[10].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert pool.all[0].in_flight == 0
        return served

    assert asyncio.run(run()) == [number for number in range(50) if number != 10]


def test_all_down_for_too_long_is_an_error_that_names_them(clock: Clock):
    async def run() -> None:
        pool = Endpoints(["http://a/v1", "http://b/v1"], 2, clock)
        for _ in range(2):
            endpoint = await pool.acquire(Counter())
            endpoint.unreachable(clock.now)
            pool.release(endpoint)
        clock.now += PATIENCE_SECONDS / 2
        assert (await pool.acquire(Counter())).url  # tried again after a rest
        for endpoint in pool.all:
            endpoint.unreachable(clock.now)
        clock.now += PATIENCE_SECONDS / 2 + 1
        for endpoint in pool.all:
            endpoint.rests_until = clock.now + 1
        with pytest.raises(EngineError, match=r"http://a/v1: .*http://b/v1: .*; start them"):
            await pool.acquire(Counter())

    asyncio.run(run())
