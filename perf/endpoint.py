"""The endpoint engine against a server that answers at once: finished, journaled answers a second, and memory.

The server is a process of its own that speaks just enough HTTP. Answers are asked for by `Model.complete`, so that each
is rendered, hashed, claimed, asked for over HTTP, decoded, and synced to the disk before it counts. Beside it, in the
same run, aiohttp alone asks the same server for the same bodies: the limit that the client library sets.

Memory is the peak of a process that is asked 10,000 queries and of one that is asked 200,000.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from _result import write_result

from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Request
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.params.teacher import Sampling, TeacherRuntime
from stillhouse.records import Message

GOAL = 1000  # answers a second
RATE_QUERIES = 10_000
FEW, MANY = 10_000, 200_000
FLAT = 1.10  # the peak of many queries over that of few
IN_FLIGHT = 128
QUESTION = (
    "A farmer has {} apples, gives away every third one, and then sells half of what is left at "
    "the market. How many are left for the family in the end? Explain each step in one sentence."
)
ANSWER = (
    "<think>\n" + "Every third apple is given away, so two of three stay. " * 20 + "</think>\n\n42"
)


class _AtOnce(asyncio.Protocol):
    """Answers each POST of a connection with the same completion."""

    body = json.dumps(
        {
            "model": "stand-in",
            "choices": [
                {"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 60, "completion_tokens": 300},
        }
    ).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, chunk: bytes) -> None:
        self._received += chunk
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            start = head.index(b"content-length:") + 15
            length = int(head[start:].split(b"\r\n", 1)[0])
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._transport.write(self.reply)


def _serve(port: Any) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_AtOnce, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def requests(count: int) -> Iterator[Request]:
    for number in range(count):
        message = Message(role="user", content=QUESTION.format(number))
        yield Request(messages=[message], seed=number, query_id=str(number))


async def ask(url: str, count: int, journal: Journal) -> float:
    """Ask for `count` answers through the journal and return the seconds it took."""
    engine = OpenAIEngine(
        "stand-in",
        "none",
        Sampling(temperature=0.6, top_p=0.95, max_tokens=1024),
        TeacherRuntime(endpoints=[url], in_flight_per_endpoint=IN_FLIGHT),
    )
    model = Model(engine, journal, "teacher", "stand_in")
    stream = requests(count)

    async def walk() -> None:
        for request in stream:
            await model.complete(request)

    started = time.perf_counter()
    await asyncio.gather(*(walk() for _ in range(2 * IN_FLIGHT)))
    seconds = time.perf_counter() - started
    await engine.close()
    assert model.asked == count
    assert journal.stats()["answers"] == count
    return seconds


async def ask_bare(url: str, count: int) -> float:
    """Post the same bodies with aiohttp alone, and return the seconds."""
    stream = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def walk() -> None:
            for number in stream:
                message = {"role": "user", "content": QUESTION.format(number)}
                async with session.post(
                    f"{url}/chat/completions", json={"messages": [message], "seed": number}
                ) as reply:
                    json.loads(await reply.read())

        started = time.perf_counter()
        await asyncio.gather(*(walk() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - started


def child(url: str, count: int) -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder, Journal.open(Path(folder)) as journal:
        seconds = asyncio.run(ask(url, count, journal))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def run_child(url: str, count: int) -> dict[str, float]:
    """Ask in a fresh process: the peak of memory is of a process."""
    command = [sys.executable, __file__, "--child", url, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, metavar=("URL", "COUNT"))
    if (arguments := parser.parse_args()).child:
        child(arguments.child[0], int(arguments.child[1]))
        return
    port: Any = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get()}/v1"
    try:
        bare = RATE_QUERIES / asyncio.run(ask_bare(url, RATE_QUERIES))
        rate = RATE_QUERIES / run_child(url, RATE_QUERIES)["seconds"]
        few, many = run_child(url, FEW), run_child(url, MANY)
    finally:
        server.kill()
    growth = many["peak_mib"] / few["peak_mib"]
    write_result(
        "endpoint",
        min(rate / GOAL, FLAT / growth),
        1.0,
        answers_per_second=round(rate),
        goal_per_second=GOAL,
        bare_aiohttp_per_second=round(bare),
        answers_per_second_over_all=round(MANY / many["seconds"]),
        peak_mib={str(FEW): round(few["peak_mib"], 1), str(MANY): round(many["peak_mib"], 1)},
        memory_growth=round(growth, 3),
        most_memory_growth=FLAT,
    )


if __name__ == "__main__":
    main()
