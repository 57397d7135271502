"""Selects the endpoint of each request, and limits the requests in flight at each endpoint.

The limit of an endpoint adapts like the congestion window of TCP. It grows by one with each answer until the endpoint
first reports an overload, and after that by one with each round of answers. An overload halves it. An endpoint that is
unreachable or fails repeatedly is taken out of use, and is tried with one request after a pause: 1 s at first, doubled
each time up to a minute.
"""

import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from stillhouse.models.engine import EngineError

START = 16  # the first limit of requests in flight
FAULTS = 3  # consecutive failures after which an endpoint is taken out of use
REST_SECONDS = 1.0  # the first pause of an endpoint
LONGEST_REST_SECONDS = 60.0
TOLD_SECONDS = 60.0  # between two lines about an endpoint that stays out of use
# Longest time without any endpoint: a restarted server loads a large model for minutes.
PATIENCE_SECONDS = 600.0


class Endpoint:
    """One server: its limit, its requests in flight, and its pause."""

    def __init__(self, url: str, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Set the base URL and the upper bound of the limit.

        Args:
            url: The base URL.
            most: The upper bound of requests in flight.
            clock: Returns the time in seconds; only tests pass their own.
        """
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
        self._why = ""
        self._down_since = self._told_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """What is wrong with an endpoint that is out of use, and for how long; null for one in use."""
        if not self.is_down:
            return None
        return f"{self.url}: {self._why} (for {self._clock() - self._down_since:.0f} s)"

    def news(self) -> str | None:
        """Return `trouble` if it was not told in the last `TOLD_SECONDS`, or once that the endpoint answers again."""
        if self.is_down:
            if self._clock() - self._told_at < TOLD_SECONDS:
                return None
            self._told_at = self._clock()
            return f"{self.trouble}; it is tried again until it answers"
        told, self._told_at = self._told_at, float("-inf")
        return f"{self.url}: answers again" if told > float("-inf") else None

    @property
    def room(self) -> int:
        """The number of further requests that it may get now."""
        if self._clock() < self.rests_until:
            return 0
        return (1 if self.is_down else int(self.limit)) - self.in_flight

    def answered(self) -> None:
        """Record an answer: the endpoint is up, and its limit grows."""
        self.is_down = False
        self._faults = 0
        self._rest = REST_SECONDS
        step = 1 / self.limit if self._found_limit else 1.0
        self.limit = min(self.limit + step, self._most)

    def overloaded(self, asked_at: float, retry_after: float = 0.0) -> None:
        """Record an overload: halve the limit, once for all requests in flight, and pause for `retry_after` seconds."""
        now = self._clock()
        if asked_at >= self._eased_at:
            self._eased_at = now
            self._found_limit = True
            self.limit = max(self.limit / 2, 1.0)
        if retry_after > 0:
            self.rests_until = max(self.rests_until, now + min(retry_after, LONGEST_REST_SECONDS))

    def faulty(self, asked_at: float, why: str = "does not answer") -> None:
        """Record a failure; `FAULTS` consecutive failures take the endpoint out of use. `why` is for messages."""
        self._faults += 1
        if self._faults >= FAULTS or self.is_down:
            self.unreachable(asked_at, why)

    def unreachable(self, asked_at: float, why: str = "does not answer") -> None:
        """Take the endpoint out of use for a pause, once for all requests in flight. `why` is for messages."""
        if asked_at < self._down_at:
            return
        self._why = why
        self._down_at = self._clock()
        if not self.is_down:
            self._down_since = self._down_at
        self.is_down = True
        self.rests_until = self._down_at + self._rest * random.uniform(0.75, 1.25)
        self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)


class Endpoints:
    """All endpoints of one model. The endpoint with the lightest load gets the next request."""

    def __init__(
        self, urls: list[str], most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Set the base URLs and the upper bound of requests in flight at each.

        Args:
            urls: The base URLs.
            most: The upper bound of requests in flight at each endpoint.
            clock: Returns the time in seconds; only tests pass their own.
        """
        self.all = [Endpoint(url, most, clock) for url in urls]
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alive_at: float | None = None
        self._alarm_at = float("inf")

    async def acquire(self, failures: Counter[str]) -> Endpoint:
        """Return an endpoint that may get a request, and wait for one if necessary. The caller must `release` it.

        Endpoints at which this request has failed less often, by `failures`, come first. Otherwise an endpoint that
        fails quickly would be preferred, because its load is the lightest.

        Raises:
            EngineError: all endpoints have been down for `PATIENCE_SECONDS`.
        """
        if self._alive_at is None:
            self._alive_at = self._clock()
        endpoint = None if self._waiting else self._lightest(failures)
        woken = False
        while endpoint is None:
            if self.silent_seconds >= PATIENCE_SECONDS:
                raise EngineError(
                    f"no endpoint has answered for {self.silent_seconds:.0f} s: {self.trouble}; "
                    "start them, or change `endpoints` in conf/runtime.yaml, and run the same command again"
                )
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # A waiter that was woken but found no free endpoint is re-queued first.
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
        """Release an endpoint. The caller has recorded the outcome of the request at the endpoint before."""
        endpoint.in_flight -= 1
        if not endpoint.is_down:
            self._alive_at = self._clock()
        self._wake(max(endpoint.room, 1))

    @property
    def trouble(self) -> str | None:
        """What is wrong with the endpoints that are out of use; null if all are in use."""
        return "; ".join(filter(None, (one.trouble for one in self.all))) or None

    @property
    def silent_seconds(self) -> float:
        """The time in seconds for which all endpoints have been down; 0 while one is up."""
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
        """Schedule a wake-up of the waiters for the end of the first pause, in case nothing else wakes them before."""
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


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a reply asks to wait, by `retry-after-ms` or `Retry-After` (seconds or a date); or 0."""
    for name, scale in (("retry-after-ms", 1e-3), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return 0.0
