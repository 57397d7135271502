"""The content-addressed store of the Hub's stand-in, which speaks Xet (https://huggingface.co/docs/xet).

A client cuts files into chunks, sends chunks packed as xorbs, and then a shard that says which chunks make up which
file. Nothing is taken on trust: chunks are unpacked, hashes are computed again, and a shard is refused unless each of
its files, put together, has the length and the sha256 that the shard gives it. Downloads are the way back: a
reconstruction names the chunks of a file, or of a range of it, with addresses that give out only the bytes they are
made for.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any

import pyarrow as pa
from blake3 import blake3

from tests.hub.stand_in_http import Answer, ApiError, Request, as_json, partial

READ_TOKEN, WRITE_TOKEN = "xet-read", "xet-write"
SIGNATURE = "signed-by-the-store"
# Keys of the four kinds of hashes, by the specification.
CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
FILE_KEY = bytes(32)
SHARD_TAG = bytes.fromhex("48465265706f4d6574614461746100556967456a7b815783a5bdd95ccdd14aa9")
XORB_FOOTER = b"XETBLOB"
END_OF_SECTION = b"\xff" * 32
HAS_VERIFICATION, HAS_SHA256 = 1 << 31, 1 << 30
ENTRY_BYTES = 48
CHUNK_BYTES = 65_536
NEVER = 2**64 - 1


@dataclass(frozen=True)
class Chunk:
    """One chunk: its hash, its content, and where it ends in its xorb."""

    hash: bytes
    content: bytes
    end: int


@dataclass(frozen=True)
class Xorb:
    """Chunks in the form in which they were sent."""

    sent: bytes
    chunks: list[Chunk]

    def bytes_of(self, start: int, end: int) -> tuple[int, int]:
        """First and last byte of the chunks from `start` to before `end`."""
        return self.chunks[start - 1].end if start else 0, self.chunks[end - 1].end - 1


@dataclass(frozen=True)
class Segment:
    """A part of a file: the chunks of one xorb from `start` to before `end`."""

    xorb: str
    start: int
    end: int


class ContentStore:
    """The store; `url` returns the address under which `answer` is reached, `spoils` which files come back spoiled.

    With `grants` it has each xorb put to an address of its own and then committed, as the client prefers; without, the
    client falls back to sending xorbs to the store itself.
    """

    def __init__(self, url: Callable[[], str], spoils: Callable[[str], bool]) -> None:
        self.xorbs: dict[str, Xorb] = {}
        self.files: dict[str, list[Segment]] = {}
        self.by_sha256: dict[str, str] = {}
        self.grants = True
        self._url, self._spoils = url, spoils
        self._granted: dict[str, bytes] = {}
        self._numbers = count(1)

    def content(self, file: str) -> bytes:
        return b"".join(chunk.content for chunk in self._chunks(self.files[file]))

    def _spoiled(self, file: str) -> list[Segment]:
        """Store a file that differs from this one in its first byte; return its segments."""
        content = self.content(file)
        content = bytes([content[0] ^ 1]) + content[1:]
        parts = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
        sent = b"".join(struct.pack("<II", len(p) << 8, len(p) << 8) + p for p in parts)
        chunks = list(read_xorb(sent))
        name = hex_of(tree_hash(chunks))
        self.xorbs[name] = Xorb(sent, chunks)
        return [Segment(name, 0, len(chunks))]

    def answer(self, request: Request, path: str) -> Answer:
        """Answer a request to `path`, below the store's address."""
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            (r"POST /v1/xorb-grants/default/([0-9a-f]{64})", WRITE_TOKEN, self._grant),
            (r"PUT /granted/([0-9]+)", "", self._take_granted),
            (
                r"POST /v1/xorb-commits/default/([0-9a-f]{64})/grant/([0-9]+)",
                WRITE_TOKEN,
                self._commit,
            ),
            (r"POST /v1/xorbs/default/([0-9a-f]{64})", WRITE_TOKEN, self._take_xorb),
            (r"POST /(v[12])/shards", WRITE_TOKEN, self._take_shard),
            (r"GET /v1/chunks/default/([0-9a-f]{64})", WRITE_TOKEN, self._find_chunk),
            (r"GET /(v[12])/reconstructions/([0-9a-f]{64})", READ_TOKEN, self._reconstruct),
            (r"GET /bytes/([0-9a-f]{64})", "", self._give_bytes),
        ]
        for pattern, token, route in routes:
            match = re.fullmatch(pattern, f"{request.method} {path}")
            if match:
                if token and request.bearer not in (token, WRITE_TOKEN):
                    raise ApiError(401, "the token does not allow this")
                return route(request, *match.groups())
        raise ApiError(404, f"the stand-in's store has no route for {request.method} {path}")

    def _grant(self, _: Request, name: str) -> Answer:
        """Give an address to which the xorb may be put, or say that it is here already."""
        if not self.grants:
            raise ApiError(404, "this store takes xorbs directly")
        if name in self.xorbs:
            return as_json({})
        grant = str(next(self._numbers))
        address = f"{self._url()}/granted/{grant}"
        return as_json({"id": grant, "method": "PUT", "url": address, "headers": {}}, 201)

    def _take_granted(self, request: Request, grant: str) -> Answer:
        self._granted[grant] = request.body
        return Answer(b"")

    def _commit(self, _: Request, name: str, grant: str) -> Answer:
        if grant not in self._granted:
            raise ApiError(404, f"nothing was put under grant {grant}")
        return self._keep(name, self._granted[grant])

    def _take_xorb(self, request: Request, name: str) -> Answer:
        return self._keep(name, request.body)

    def _keep(self, name: str, sent: bytes) -> Answer:
        chunks = list(read_xorb(sent))
        if not chunks or hex_of(tree_hash(chunks)) != name:
            raise ApiError(400, f"xorb {name}: its chunks have another hash")
        new = name not in self.xorbs
        self.xorbs[name] = Xorb(sent, chunks)
        return as_json({"was_inserted": new})

    def _take_shard(self, request: Request, version: str) -> Answer:
        for file, segments, sha256 in self._read_shard(request.body):
            self.files[file] = segments
            self.by_sha256[sha256] = file
        return as_json({"result": 1} if version == "v1" else {"type": "result"})

    def _read_shard(self, shard: bytes) -> list[tuple[str, list[Segment], str]]:
        """Return hash, segments and sha256 of each file of a shard, each of them checked."""
        if shard[:32] != SHARD_TAG:
            raise ApiError(400, "this is no shard")
        entries = (
            shard[at : at + ENTRY_BYTES] for at in range(ENTRY_BYTES, len(shard), ENTRY_BYTES)
        )
        files = []
        for header in entries:
            name, flags, count = struct.unpack("<32sII8x", header)
            if name == END_OF_SECTION:
                return files
            if not flags & HAS_VERIFICATION or not flags & HAS_SHA256:
                raise ApiError(400, f"file {hex_of(name)}: without verification or sha256")
            segments = []
            for _ in range(count):
                xorb, size, start, end = struct.unpack("<32s4xIII", next(entries))
                segments.append(self._segment(hex_of(xorb), start, end, size))
            for segment in segments:
                hashes = b"".join(chunk.hash for chunk in self._chunks([segment]))
                if next(entries)[:32] != keyed(RANGE_KEY, hashes):
                    raise ApiError(400, f"file {hex_of(name)}: not the chunks that it names")
            files.append((hex_of(name), segments, hex_of(next(entries)[:32])))
            self._refuse_other_file(*files[-1])
        raise ApiError(400, "the shard ends early")

    def _segment(self, xorb: str, start: int, end: int, size: int) -> Segment:
        if xorb not in self.xorbs or not start < end <= len(self.xorbs[xorb].chunks):
            raise ApiError(400, f"no chunks {start} to {end} in xorb {xorb}")
        segment = Segment(xorb, start, end)
        if sum(len(chunk.content) for chunk in self._chunks([segment])) != size:
            raise ApiError(400, f"chunks {start} to {end} of xorb {xorb} are not {size} bytes")
        return segment

    def _refuse_other_file(self, name: str, segments: list[Segment], sha256: str) -> None:
        chunks = self._chunks(segments)
        if hex_of(keyed(FILE_KEY, tree_hash(chunks))) != name:
            raise ApiError(400, f"file {name}: its chunks have another hash")
        found = hashlib.sha256(b"".join(chunk.content for chunk in chunks)).hexdigest()
        if found != sha256:
            raise ApiError(400, f"file {name}: its content has sha256 {found}, not {sha256}")

    def _chunks(self, segments: list[Segment]) -> list[Chunk]:
        return [
            chunk
            for segment in segments
            for chunk in self.xorbs[segment.xorb].chunks[segment.start : segment.end]
        ]

    def _find_chunk(self, _: Request, name: str) -> Answer:
        """Offer the chunks of the xorb that has this one, so that a file need not send them again."""
        for found, xorb in self.xorbs.items():
            if any(hex_of(chunk.hash) == name for chunk in xorb.chunks):
                return Answer(offer(found, xorb))
        raise ApiError(404, f"no chunk {name}")

    def _reconstruct(self, request: Request, version: str, file: str) -> Answer:
        if file not in self.files:
            raise ApiError(404, f"no file {file}")
        segments = self._spoiled(file) if self._spoils(file) else self.files[file]
        first, last = request.span(self._size(segments)) or (0, self._size(segments) - 1)
        skipped, terms = self._terms(segments, first, last)
        fetched: dict[str, list[Any]] = {}
        for term in terms:
            start, end = self.xorbs[term.xorb].bytes_of(term.start, term.end)
            url = f"{self._url()}/bytes/{term.xorb}?span={start}-{end}&signature={SIGNATURE}"
            chunks, span = {"start": term.start, "end": term.end}, {"start": start, "end": end}
            fetched.setdefault(term.xorb, []).append(
                {"range": chunks, "url": url, "url_range": span}
                if version == "v1"
                else {"url": url, "ranges": [{"chunks": chunks, "bytes": span}]}
            )
        return as_json(
            {
                "offset_into_first_range": skipped,
                "terms": [
                    {
                        "hash": term.xorb,
                        "unpacked_length": self._size([term]),
                        "range": {"start": term.start, "end": term.end},
                    }
                    for term in terms
                ],
                "fetch_info" if version == "v1" else "xorbs": fetched,
            }
        )

    def _size(self, segments: list[Segment]) -> int:
        return sum(len(chunk.content) for chunk in self._chunks(segments))

    def _terms(self, segments: list[Segment], first: int, last: int) -> tuple[int, list[Segment]]:
        """Return the chunks that cover bytes `first` to `last`, and how many bytes precede `first` in them."""
        terms = []
        at, skipped = 0, 0
        for segment in segments:
            sizes = [len(chunk.content) for chunk in self._chunks([segment])]
            ends = list(accumulate(sizes, initial=at))
            needed = [n for n in range(len(sizes)) if ends[n + 1] > first and ends[n] <= last]
            if needed:
                skipped = skipped if terms else first - ends[needed[0]]
                start = segment.start + needed[0]
                terms.append(Segment(segment.xorb, start, start + len(needed)))
            at = ends[-1]
        return skipped, terms

    def _give_bytes(self, request: Request, xorb: str) -> Answer:
        signed = {"span": [(request.headers.get("Range") or "").removeprefix("bytes=")]}
        if request.query != signed | {"signature": [SIGNATURE]}:
            raise ApiError(403, "this address is for other bytes")
        return partial(request, self.xorbs[xorb].sent, {})


def hex_of(raw: bytes) -> str:
    """A hash as text: four 64-bit numbers, each in its own byte order."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def raw_of(name: str) -> bytes:
    """The hash of a text that `hex_of` made."""
    return struct.pack("<4Q", *(int(name[at : at + 16], 16) for at in range(0, 64, 16)))


def keyed(key: bytes, content: bytes) -> bytes:
    return blake3(content, key=key).digest()


def tree_hash(chunks: list[Chunk]) -> bytes:
    """The hash of a sequence of chunks: nodes of 2 to 9 are merged until one is left."""
    nodes = [(chunk.hash, len(chunk.content)) for chunk in chunks]
    while len(nodes) > 1:
        merged = []
        while nodes:
            ends = (n + 1 for n in range(2, min(9, len(nodes))) if nodes[n][0][24] % 4 == 0)
            cut = next(ends, 9)
            text = "".join(f"{hex_of(name)} : {size}\n" for name, size in nodes[:cut])
            merged.append((keyed(NODE_KEY, text.encode()), sum(size for _, size in nodes[:cut])))
            nodes = nodes[cut:]
        nodes = merged
    return nodes[0][0]


def offer(name: str, xorb: Xorb) -> bytes:
    """A shard without files that lists one xorb's chunks, with the tables by which a client looks them up."""
    starts = accumulate((len(chunk.content) for chunk in xorb.chunks), initial=0)
    size = sum(len(chunk.content) for chunk in xorb.chunks)
    listed = struct.pack("<32s4I", raw_of(name), 0, len(xorb.chunks), size, len(xorb.sent))
    for chunk, start in zip(xorb.chunks, starts, strict=False):
        listed += struct.pack("<32s4I", chunk.hash, start, len(chunk.content), 0, 0)
    end = END_OF_SECTION + bytes(ENTRY_BYTES - len(END_OF_SECTION))
    by_chunk = sorted((chunk.hash[:8][::-1], n) for n, chunk in enumerate(xorb.chunks))
    tables = raw_of(name)[:8] + bytes(4)
    tables += b"".join(start[::-1] + struct.pack("<II", 0, n) for start, n in by_chunk)
    files_at, xorbs_at = ENTRY_BYTES, 2 * ENTRY_BYTES
    tables_at = xorbs_at + len(listed) + len(end)
    footer_at = tables_at + len(tables)
    places = (files_at, xorbs_at, tables_at, 0, tables_at, 1, tables_at + 12, len(xorb.chunks))
    footer = struct.pack("<9Q", 1, *places) + bytes(32)  # no key hides the chunks' hashes
    footer += struct.pack("<12Q", 1, NEVER, *[0] * 6, len(xorb.sent), size, size, footer_at)
    header = SHARD_TAG + struct.pack("<QQ", 2, len(footer))
    return header + end + listed + end + tables + footer


def read_xorb(sent: bytes) -> Iterator[Chunk]:
    """Unpack the chunks of a xorb; what follows them is an index that the specification makes optional."""
    at = 0
    while at < len(sent) and not sent.startswith(XORB_FOOTER, at):
        packed, unpacked = struct.unpack_from("<II", sent, at)
        scheme, packed, unpacked = unpacked & 255, packed >> 8, unpacked >> 8
        at += 8 + packed
        content = _unpacked(scheme, sent[at - packed : at], unpacked)
        yield Chunk(keyed(CHUNK_KEY, content), content, at)


def _unpacked(scheme: int, packed: bytes, size: int) -> bytes:
    if scheme == 0:
        content = packed
    elif scheme in (1, 2):
        try:
            content = pa.Codec("lz4").decompress(packed, size, asbytes=True)
        except OSError as error:
            raise ApiError(400, f"a chunk is not LZ4: {error}") from None
    else:
        raise ApiError(400, f"unknown compression {scheme} of a chunk")
    if len(content) != size:
        raise ApiError(400, f"a chunk has {len(content)} bytes instead of {size}")
    return _regrouped(content) if scheme == 2 else content


def _regrouped(grouped: bytes) -> bytes:
    """Undo byte grouping: bytes 0, 4, 8 … stand first, then 1, 5, 9 …, and so on."""
    content = bytearray(len(grouped))
    at = 0
    for first in range(4):
        size = len(content[first::4])
        content[first::4] = grouped[at : at + size]
        at += size
    return bytes(content)
