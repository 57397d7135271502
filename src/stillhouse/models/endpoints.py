"""Which endpoint gets the next request, how many each may have in flight, and what happens to one that dies.

The limit of an endpoint finds itself, as TCP's does: it grows by one with each answer until the endpoint first says
that it has too much, then by one with each round of answers; where it has too much, the limit is halved. An endpoint
that cannot be reached, or fails again and again, is taken out, and tried with one request after a while: 1 s, doubled
each time up to a minute.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable

from stillhouse.models.engine import EngineError

START = 16  # requests in flight at first
FAULTS = 3  # failures in a row, with no answer between them, that take an endpoint out
REST_SECONDS = 1.0  # an endpoint's first rest
LONGEST_REST_SECONDS = 60.0
PATIENCE_SECONDS = 600.0  # without any endpoint: a large model takes minutes to load again


class Endpoint:
    """One server: its limit, what it has in flight, and whether it rests."""

    def __init__(self, url: str, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Name the base URL and the highest limit."""
        self.url = url
        self.in_flight = 0
        self.limit = float(min(START, most))
        self.is_down = False
        self.rests_until = 0.0
        self._most = most
        self._clock = clock
        self._eased_at = self._down_at = float("-inf")
        self._found_limit = False
        self._faults = 0
        self._rest = REST_SECONDS

    @property
    def room(self) -> int:
        """How many more requests it may have now."""
        if self._clock() < self.rests_until:
            return 0
        return (1 if self.is_down else int(self.limit)) - self.in_flight

    def answered(self) -> None:
        """Count an answer: it is up, and may have more."""
        self.is_down = False
        self._faults = 0
        self._rest = REST_SECONDS
        step = 1 / self.limit if self._found_limit else 1.0
        self.limit = min(self.limit + step, self._most)

    def overloaded(self, asked_at: float, retry_after: float = 0.0) -> None:
        """Halve the limit, once for all requests in flight, and let it rest for as long as it asks."""
        now = self._clock()
        if asked_at >= self._eased_at:
            self._eased_at = now
            self._found_limit = True
            self.limit = max(self.limit / 2, 1.0)
        if retry_after > 0:
            self.rests_until = max(self.rests_until, now + min(retry_after, LONGEST_REST_SECONDS))

    def faulty(self, asked_at: float) -> None:
        """Count a failure; several in a row take it out."""
        self._faults += 1
        if self._faults >= FAULTS or self.is_down:
            self.unreachable(asked_at)

    def unreachable(self, asked_at: float) -> None:
        """Take it out for a while, once for all requests in flight."""
        if asked_at < self._down_at:
            return
        self._down_at = self._clock()
        self.is_down = True
        self.rests_until = self._down_at + self._rest * random.uniform(0.75, 1.25)
        self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)


class Endpoints:
    """All endpoints of one model, of which the one with the lightest load gets the next request."""

    def __init__(
        self, urls: list[str], most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Name the base URLs and the highest number of requests in flight at each."""
        self.all = [Endpoint(url, most, clock) for url in urls]
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alive_at: float | None = None
        self._alarm_at = float("inf")

    async def acquire(self, failures: Counter[str]) -> Endpoint:
        """Return an endpoint with room, waiting for one if need be; `release` it afterwards.

        Endpoints at which this request has failed less often, by `failures`, come first: one that breaks requests
        quickly has the lightest load.

        Raises:
            EngineError: all have been down for too long.
        """
        if self._alive_at is None:
            self._alive_at = self._clock()
        endpoint = None if self._waiting else self._lightest(failures)
        woken = False
        while endpoint is None:
            if self.silent_seconds >= PATIENCE_SECONDS:
                urls = ", ".join(one.url for one in self.all)
                raise EngineError(
                    f"no endpoint has answered for {self.silent_seconds:.0f} s: {urls}; "
                    "start them, or change `endpoints` in conf/runtime.yaml, and run the same command again"
                )
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # Who was woken and came too late keeps its place at the head of the line.
            (self._waiting.appendleft if woken else self._waiting.append)(turn)
            self._wake_after_rest()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake(1)
                raise
            woken = True
            endpoint = self._lightest(failures)
        endpoint.in_flight += 1
        return endpoint

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint back, after telling it how the request went."""
        endpoint.in_flight -= 1
        if not endpoint.is_down:
            self._alive_at = self._clock()
        self._wake(max(endpoint.room, 1))

    @property
    def silent_seconds(self) -> float:
        """How long all endpoints have been down; 0 while one is up."""
        if self._alive_at is None or not all(one.is_down for one in self.all):
            return 0.0
        return self._clock() - self._alive_at

    def _lightest(self, failures: Counter[str]) -> Endpoint | None:
        with_room = [one for one in self.all if one.room > 0]
        return min(
            with_room,
            key=lambda one: (failures[one.url], one.in_flight / one.limit),
            default=None,
        )

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def _wake_after_rest(self) -> None:
        """See to it that somebody looks again when the first endpoint has rested, if nothing else wakes them."""
        now = self._clock()
        rested_at = min(
            (one.rests_until for one in self.all if one.rests_until > now), default=self._alarm_at
        )
        if rested_at < self._alarm_at:
            self._alarm_at = rested_at
            asyncio.get_running_loop().call_later(rested_at - now, self._alarm)

    def _alarm(self) -> None:
        self._alarm_at = float("inf")
        self._wake(len(self._waiting))
