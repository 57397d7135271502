"""Lints a release folder before it is published.

Every finding names the file and, if there is one, the row. An error stops the package and publish stages; the card
lists the warnings. Checks never change a file. `lint_rows` checks the rows by the rules of `lint_rules`, and
`lint_text` the texts. This module checks the files, the card, and whether `datasets` can load the configurations of the
card.
"""

import re
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.package.batches import Overlaps
from stillhouse.package.lint_rows import lint_rows
from stillhouse.package.lint_rules import LintFinding
from stillhouse.package.lint_text import secrets_in
from stillhouse.package.manifest import MANIFEST, ManifestError, differences, release_files
from stillhouse.package.rows import COLUMNS, SPLIT, kind_of

__all__ = ["CARD", "LintFinding", "lint", "lint_files", "lint_rows"]

CARD = "README.md"
# A folder with one of these must have both, except that a configuration without rows is left out of a release.
TEACHER_KINDS = ("data", "all_attempts")
SAMPLE_ROWS = 100  # rows of each shard that are loaded; `datasets` copies all rows that it loads
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


def lint(folder: Path, overlaps: Overlaps | None = None) -> list[LintFinding]:
    """Return all findings on a release folder, errors first.

    Args:
        folder: the folder of one repository.
        overlaps: finds prompts that overlap a benchmark; None: not checked.
    """
    findings = lint_files(folder) + lint_rows(folder, overlaps=overlaps)
    return sorted(findings, key=lambda finding: finding.level)


def lint_files(folder: Path) -> list[LintFinding]:
    """Return the findings on the files, the card, and the loading of every configuration."""
    findings = [*_manifest(folder), *_text_files(folder)]
    card = list(_card(folder))
    findings += card
    # A broken card or shard would make the loading fail for the same reason.
    if not any(finding.level == "error" for finding in findings):
        findings += _loads(folder)
    return findings


def _manifest(folder: Path) -> Iterator[LintFinding]:
    try:
        for file, fault in differences(folder):
            yield LintFinding("error", "manifest", file, None, fault)
    except ManifestError as error:
        yield LintFinding("error", "manifest", MANIFEST, None, str(error))


def _text_files(folder: Path) -> Iterator[LintFinding]:
    for name in release_files(folder):
        if name.endswith((".md", ".json")):
            try:
                text = (folder / name).read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                yield LintFinding("error", "utf8", name, None, f"not valid UTF-8 ({error.reason})")
                continue
            for kind in secrets_in(text):
                yield LintFinding(
                    "error", "secret", name, None, f"has a text that looks like a secret: {kind}"
                )


def _card(folder: Path) -> Iterator[LintFinding]:
    from datasets import Features
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard
    from yaml import YAMLError

    def error(rule: str, message: str) -> LintFinding:
        return LintFinding("error", rule, CARD, None, message)

    try:
        card = DatasetCard.load(folder / CARD)
        infos = DatasetInfosDict.from_dataset_card_data(card.data)
        head = card.data.to_dict()
    except (OSError, ValueError, KeyError, TypeError, YAMLError) as fault:
        yield error("card", f"no readable card ({' '.join(str(fault).split())})")
        return
    for field in ("license", "language", "task_categories", "size_categories", "tags"):
        if not head.get(field):
            yield error(
                "license" if field == "license" else "card", f"no {field} in the front matter"
            )
    shards = [name for name in release_files(folder) if name.endswith(".parquet")]
    configs = {
        config["config_name"]: [part["path"] for part in config["data_files"]]
        for config in head.get("configs") or []
    }
    reached: set[str] = set()
    for name, patterns in configs.items():
        own = [shard for shard in shards if any(fnmatch(shard, p) for p in patterns)]
        reached |= set(own)
        if not own:
            yield error("shards", f"configuration {name}: no file matches {patterns}")
            continue
        rows = sum(_row_count(folder / shard) for shard in own)
        info = infos.get(name)
        stated = info.splits[SPLIT].num_examples if info and info.splits else None
        if stated != rows:
            yield error("card-count", f"states {stated} rows of {name}, the shards have {rows}")
        schema = _schema(folder / own[0])
        if schema is not None and (
            info is None or info.features != Features.from_arrow_schema(schema)
        ):
            yield error("card-schema", f"configuration {name}: the features differ from {own[0]}")
        kind = kind_of(own[0].rpartition("/")[0])
        section = card.text.partition(f"\n### {name}\n")[2].partition("\n#")[0]
        documented = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
        if kind and (missing := sorted(set(COLUMNS[kind]) - documented)):
            yield error("card-schema", f"{name}: does not explain the columns {', '.join(missing)}")
    for shard in sorted(set(shards) - reached):
        yield error("card-files", f"{shard} belongs to no configuration")
    yield from _kinds(shards)
    yield from _row_sums(folder, shards)
    for image in _IMAGE.findall(card.text):
        if "://" not in image and not (folder / image).is_file():
            yield error("card", f"shows {image}, which does not exist")


def _kinds(shards: list[str]) -> Iterator[LintFinding]:
    folders = {shard.rpartition("/")[0] for shard in shards}
    parents = {f.rpartition("/")[0] for f in folders if kind_of(f) in TEACHER_KINDS}
    for parent in sorted(parents):
        for kind in TEACHER_KINDS:
            path = f"{parent}/{kind}".lstrip("/")
            if path not in folders:
                yield LintFinding("error", "shards", path, None, "no shard of this configuration")
    if not folders:
        yield LintFinding("error", "shards", ".", None, "there is no shard")


def _row_sums(folder: Path, shards: list[str]) -> Iterator[LintFinding]:
    """Check that every attempt is either in the training set or rejected."""
    rows: dict[str, int] = {}
    for shard in shards:
        parent = shard.rpartition("/")[0]
        rows[parent] = rows.get(parent, 0) + _row_count(folder / shard)
    for path, attempts in rows.items():
        if kind_of(path) == "all_attempts":
            parent = path.rpartition("/")[0]
            data, rejected = (
                rows.get(f"{parent}/{kind}".lstrip("/"), 0) for kind in ("data", "rejected")
            )
            if data + rejected != attempts:
                yield LintFinding(
                    "error",
                    "row-sum",
                    path,
                    None,
                    f"{attempts} attempts, but {data} in the training set and {rejected} rejected",
                )


def _loads(folder: Path) -> Iterator[LintFinding]:
    """Load every configuration with `datasets`, with and without streaming, from the first rows of each shard."""
    from datasets import disable_progress_bars, load_dataset
    from datasets.utils.logging import set_verbosity_error

    set_verbosity_error()
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        sample = Path(scratch) / "sample"
        for name in release_files(folder):
            if name.endswith(".parquet"):
                (sample / name).parent.mkdir(parents=True, exist_ok=True)
                _write_first_rows(folder / name, sample / name)
        (sample / CARD).write_bytes((folder / CARD).read_bytes())
        plain = {"cache_dir": f"{scratch}/cache", "verification_mode": "no_checks"}
        for config in _config_names(folder):
            for how, more in (("plain", plain), ("streaming", {"streaming": True})):
                try:
                    # The stream is read to its end: threads of Arrow read ahead in an unfinished stream, and they make
                    # the interpreter hang at its exit.
                    for _ in load_dataset(str(sample), config, split=SPLIT, **more):
                        pass
                except Exception as error:  # any error that a user of the release would get
                    text = " ".join(str(error).split())[:300]
                    yield LintFinding(
                        "error",
                        "load",
                        CARD,
                        None,
                        f"configuration {config} does not load ({how}): {type(error).__name__}: {text}",
                    )


def _config_names(folder: Path) -> list[str]:
    from huggingface_hub import DatasetCard

    configs = DatasetCard.load(folder / CARD).data.to_dict().get("configs") or []
    return [str(config["config_name"]) for config in configs]


def _write_first_rows(shard: Path, path: Path) -> None:
    with pq.ParquetFile(shard) as file:
        rows = next(file.iter_batches(batch_size=SAMPLE_ROWS), None)
        table = pa.Table.from_batches([rows] if rows is not None else [], schema=file.schema_arrow)
    pq.write_table(table, path)


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0  # the check against the manifest reports the file


def _schema(path: Path) -> pa.Schema | None:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return None
