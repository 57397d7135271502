"""Compares two releases: rows added, removed and changed by column, and the bytes that an upload would send.

Both releases are sorted by key, so that one pass over both in bounded memory is enough.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.package.chunks import new_bytes
from stillhouse.package.manifest import ManifestError, read_manifest, release_files
from stillhouse.tables.read import BATCH_ROWS

SHOWN_IDS = 5  # ids shown of each kind of change


class DiffError(StillhouseError):
    """A folder is not a release, or cannot be compared."""


@dataclass
class ConfigDiff:
    """The changes of one configuration (by its folder). `ids` has the first keys of each kind of change."""

    folder: str
    before: int = 0
    after: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    new_columns: list[str] = field(default_factory=list)
    lost_columns: list[str] = field(default_factory=list)
    ids: dict[str, list[str]] = field(
        default_factory=lambda: {"added": [], "removed": [], "changed": []}
    )

    @property
    def same(self) -> bool:
        """Whether there is no change."""
        return not (
            self.added or self.removed or self.changed or self.new_columns or self.lost_columns
        )


@dataclass(frozen=True)
class ReleaseDiff:
    """The changes between two releases. With chunk de-duplication an upload sends `upload` of `size` bytes."""

    configs: list[ConfigDiff]
    files: list[str]
    upload: int
    size: int


def diff(before: Path, after: Path) -> ReleaseDiff:
    """Compare two release folders.

    Raises:
        DiffError: a folder is not a release, or a shard is unreadable.
    """
    for folder in (before, after):
        try:
            read_manifest(folder)
        except ManifestError as error:
            raise DiffError(
                f"{error}; name the folder of one repository, such as data/release/<teacher>"
            ) from None
    folders = sorted({str(p.parent) for root in (before, after) for p in _shards(root)})
    try:
        configs = [_config(folder, before / folder, after / folder) for folder in folders]
        old, new = ([root / name for name in release_files(root)] for root in (before, after))
        upload, size = new_bytes(old, new)
    except (pa.ArrowException, OSError) as error:
        raise DiffError(
            f"{before} and {after}: cannot be read ({' '.join(str(error).split())}); get a complete copy with "
            "`stillhouse pull` or `dvc checkout`"
        ) from None
    return ReleaseDiff(configs, _other_files(before, after), upload, size)


def _shards(root: Path) -> list[Path]:
    return [Path(name) for name in release_files(root) if name.endswith(".parquet")]


def _other_files(before: Path, after: Path) -> list[str]:
    """Return the files other than tables whose hashes in the manifests differ."""
    old, new = (
        {entry.path: entry.sha256 for entry in read_manifest(root) if entry.rows is None}
        for root in (before, after)
    )
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _config(name: str, before: Path, after: Path) -> ConfigDiff:
    found = ConfigDiff(name)
    old, new = _Side(before), _Side(after)
    shared = [column for column in new.columns if column in old.columns]
    found.new_columns = [column for column in new.columns if column not in old.columns]
    found.lost_columns = [column for column in old.columns if column not in new.columns]
    if not old.columns or not new.columns:  # the configuration exists on one side only
        found.new_columns = found.lost_columns = []
    while not (old.done and new.done):
        _compare(found, *_next_window(old, new), shared)
    found.before, found.after = old.rows, new.rows
    return found


class _Side:
    """The rows of a configuration in one release. `held` has the rows that were read and not compared yet."""

    def __init__(self, folder: Path) -> None:
        shards = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        self.columns = pq.read_schema(shards[0]).names if shards else []
        self.rows = sum(pq.read_metadata(shard).num_rows for shard in shards)
        self._batches = _batches(shards)
        self.held: pa.Table | None = None
        self.read()

    @property
    def done(self) -> bool:
        """Whether all rows were compared."""
        return self.held is None

    def read(self) -> None:
        """Read the next batch if no row is held."""
        while self.held is None or not self.held.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                self.held = None
                return
            self.held = pa.Table.from_batches([batch])

    def up_to(self, last: str | None) -> pa.Table | None:
        """Remove and return the held rows with keys up to `last`; None: all held rows."""
        if self.held is None:
            return None
        if last is None:
            taken, self.held = self.held, None
        else:
            inside = pc.less_equal(self.held.column(0), last)
            taken, self.held = self.held.filter(inside), self.held.filter(pc.invert(inside))
        self.read()
        return taken


def _batches(shards: list[Path]) -> Iterator[pa.RecordBatch]:
    for shard in shards:
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS)


def _next_window(old: _Side, new: _Side) -> tuple[pa.Table | None, pa.Table | None]:
    """Return the rows of both sides up to the smaller of the last keys held."""
    if old.held is None or new.held is None:
        return old.up_to(None), new.up_to(None)
    last = min(side.column(0)[-1].as_py() for side in (old.held, new.held))
    return old.up_to(last), new.up_to(last)


def _compare(
    found: ConfigDiff, old: pa.Table | None, new: pa.Table | None, columns: list[str]
) -> None:
    if old is None or new is None:
        for table, kind in ((old, "removed"), (new, "added")):
            if table is not None:
                _note(found, kind, table.column(0))
        return
    old_keys, new_keys = old.column(0), new.column(0)
    _note(found, "removed", old_keys.filter(pc.invert(pc.is_in(old_keys, value_set=new_keys))))
    at = pc.index_in(new_keys, value_set=old_keys)
    _note(found, "added", new_keys.filter(at.is_null()))
    both = new.filter(at.is_valid())
    partner = old.take(pc.drop_null(at))
    changed: set[int] = set()
    for name in columns:
        rows = _differing(partner.column(name), both.column(name))
        found.columns[name] += len(rows)
        changed.update(rows)
    _note(found, "changed", both.column(0).take(pa.array(sorted(changed), type=pa.int64())))


def _differing(one: pa.ChunkedArray, other: pa.ChunkedArray) -> list[int]:
    if one.equals(other):
        return []
    if one.type != other.type or pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return [i for i, (left, right) in enumerate(pairs) if left != right]
    same = pc.or_kleene(
        pc.fill_null(pc.equal(one, other), False), pc.and_(one.is_null(), other.is_null())
    )
    found: list[int] = pc.indices_nonzero(pc.invert(same)).to_pylist()
    return found


def _note(found: ConfigDiff, kind: str, keys: pa.ChunkedArray) -> None:
    setattr(found, kind, getattr(found, kind) + len(keys))
    shown = found.ids[kind]
    shown.extend(keys.slice(0, max(0, SHOWN_IDS - len(shown))).to_pylist())
