"""Writes and lints the folders of a release, one per Hub repository: shards, figures, card, provenance and manifest.

Rows are streamed, so that memory does not grow with their number. Equal inputs give equal bytes: the files contain no
time stamp, host name or git commit.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stillhouse.errors import StillhouseError
from stillhouse.files import partial
from stillhouse.hashing import file_sha256
from stillhouse.package.batches import (
    Overlaps,
    TeacherTables,
    attempt_batches,
    data_batches,
    parallel_batches,
    rejected_query_batches,
)
from stillhouse.package.card import (
    CardFacts,
    draw_figures,
    licenses,
    main_config,
    render_card,
)
from stillhouse.package.counts import ConfigCounts, TeacherCounts
from stillhouse.package.example import example_row
from stillhouse.package.facts import Repository, RunFacts, repositories
from stillhouse.package.licenses import consequences, faults
from stillhouse.package.lint import CARD, LintFinding, lint_files, lint_rows
from stillhouse.package.manifest import json_text, write_manifest
from stillhouse.package.provenance import statement
from stillhouse.package.render import CARDS
from stillhouse.package.rows import Config
from stillhouse.package.shards import ShardWriter

PROVENANCE = "provenance.json"
IMAGES = "images"
SHOWN_FINDINGS = 20


class PackageError(StillhouseError):
    """A release cannot be built, or has faults; the message lists them."""


@dataclass(frozen=True)
class RunTables:
    """The tables of a run that a release is built from: the queries, and the tables of each teacher."""

    queries: Path
    rejected_queries: Path
    teachers: Mapping[str, TeacherTables]


@dataclass(frozen=True)
class ReleaseStats:
    """The written files of one teacher or of `parallel`: released rows, their tokens, shards and their bytes."""

    rows: int
    tokens: int
    shards: int
    bytes: int


@dataclass
class _Written:
    """Shards and counts of a release in progress; keys of `shards` and `configs` are (repository, config)."""

    shards: dict[tuple[str, str], list[Path]]
    configs: dict[tuple[str, str], ConfigCounts]
    teachers: dict[str, TeacherCounts]


def write_release(
    out: Path,
    tables: RunTables,
    facts: RunFacts,
    cards: Path = CARDS,
    overlaps: Overlaps | None = None,
) -> dict[str, ReleaseStats]:
    """Write the release of a run, one folder per repository. `out` is created atomically.

    Args:
        out: folder of the release.
        tables: the tables of the run.
        facts: the parameters and metrics of the run.
        cards: folder of the card templates.
        overlaps: finds prompts that overlap a benchmark; None: not checked.

    Returns:
        The written files, by teacher and for `parallel`.

    Raises:
        PackageError: there are no rows, the number of rows differs from the align stage's, a licence forbids the
            release, or the lint found errors.
        JoinError, TableError, CardError: an input is missing or does not match the others.
    """
    _refuse_licenses(facts, {})
    with partial(out) as new:
        repos = repositories(facts.package, list(facts.teachers), facts.compared_ids)
        written = _Written({}, {}, {teacher: TeacherCounts() for teacher in facts.teachers})
        repos = [_write_shards(new, repo, tables, facts, written, overlaps) for repo in repos]
        _refuse_licenses(facts, written.teachers)
        images = new / repos[0].folder / IMAGES
        draw_figures(images, facts, written.teachers)
        for repo in repos[1:]:
            shutil.copytree(images, new / repo.folder / IMAGES)
        findings = [
            (repo.folder, finding)
            for repo in repos
            for finding in _describe(new / repo.folder, repo, facts, written, cards, overlaps)
        ]
        _refuse_errors(findings, out)
        return _stats(repos, written)


def _write_shards(
    root: Path,
    repo: Repository,
    tables: RunTables,
    facts: RunFacts,
    written: _Written,
    overlaps: Overlaps | None,
) -> Repository:
    """Write all shards of a repository; return the repository without the configurations that have no rows.

    An empty configuration is an error in the Hub's viewer.
    """
    by_teacher = {
        teacher: {config.kind: config for config in repo.configs if config.teacher == teacher}
        for teacher in repo.teacher_ids
    }
    shared = {config.kind: config for config in repo.configs if config.teacher is None}
    folder = root / repo.folder
    with ExitStack() as stack:

        def writer(config: Config) -> ShardWriter:
            return stack.enter_context(ShardWriter(folder / config.folder, config.schema))

        writers = {config.name: writer(config) for config in repo.configs}
        counts = {config.name: ConfigCounts() for config in repo.configs}
        for teacher, configs in by_teacher.items():
            if not configs:
                continue
            own, found = tables.teachers[teacher], written.teachers[teacher]
            data, attempts_, rejected_ = (configs[k] for k in ("data", "all_attempts", "rejected"))
            for batch in data_batches(own.aligned):
                writers[data.name].write(batch)
                counts[data.name].add(batch)
                found.add_data(batch)
            _refuse_row_count(counts[data.name].rows, teacher, own.aligned, facts)
            spec = facts.teachers[teacher].spec
            for attempts, rejected in attempt_batches(
                own, tables.queries, spec.model, spec.revision
            ):
                for config, batch in ((attempts_, attempts), (rejected_, rejected)):
                    writers[config.name].write(batch)
                    counts[config.name].add(batch)
                found.add_attempts(attempts)
                found.add_rejected(rejected)
        if "rejected_queries" in shared:
            name = shared["rejected_queries"].name
            for batch in rejected_query_batches(tables.rejected_queries, overlaps):
                writers[name].write(batch)
                counts[name].add(batch)
        if "parallel" in shared:
            name = shared["parallel"].name
            aligned = {teacher: tables.teachers[teacher].aligned for teacher in facts.compared_ids}
            for batch in parallel_batches(aligned):
                writers[name].write(batch)
                counts[name].add(batch)
    for config in repo.configs:
        written.shards[repo.folder, config.name] = writers[config.name].shards
        written.configs[repo.folder, config.name] = counts[config.name]
        if not counts[config.name].rows:
            shutil.rmtree(folder / config.folder)
    filled = [config for config in repo.configs if counts[config.name].rows]
    return dataclasses.replace(repo, configs=filled)


def _describe(
    folder: Path,
    repo: Repository,
    facts: RunFacts,
    written: _Written,
    cards: Path,
    overlaps: Overlaps | None,
) -> list[LintFinding]:
    """Write card, provenance and manifest of one repository; return the findings of the lint."""
    found = lint_rows(folder, overlaps=overlaps, control_tokens=facts.filter.control_tokens)
    shards = [path for config in repo.configs for path in written.shards[repo.folder, config.name]]
    card = CardFacts(
        repository=repo,
        run=facts,
        configs={config.name: written.configs[repo.folder, config.name] for config in repo.configs},
        counts=written.teachers,
        warnings=[str(finding) for finding in found if finding.level == "warning"],
        example=example_row(written.shards[repo.folder, main_config(repo)]),
    )
    (folder / CARD).write_text(render_card(card, cards), encoding="utf-8")
    provenance = statement(
        facts, repo, {path.relative_to(folder).as_posix(): file_sha256(path) for path in shards}
    )
    (folder / PROVENANCE).write_text(json_text(provenance), encoding="utf-8")
    write_manifest(folder)
    return found + lint_files(folder)


def _stats(repos: list[Repository], written: _Written) -> dict[str, ReleaseStats]:
    stats = {}
    for repo in repos:
        for key in dict.fromkeys(config.teacher or config.name for config in repo.configs):
            if key == "rejected_queries":
                continue
            own = [c for c in repo.configs if key in (c.teacher, c.name)]
            shards = [path for c in own for path in written.shards[repo.folder, c.name]]
            found = written.teachers.get(key)
            stats[key] = ReleaseStats(
                rows=written.configs[repo.folder, own[0].name].rows,
                tokens=found.tokens.total
                if found
                else sum(counts.tokens.total for counts in written.teachers.values()),
                shards=len(shards),
                bytes=sum(path.stat().st_size for path in shards),
            )
    return stats


def _refuse_row_count(rows: int, teacher: str, aligned: Path, facts: RunFacts) -> None:
    if not rows:
        raise PackageError(
            f"{aligned}: no rows, so there is nothing to release; no query has an accepted answer of every compared "
            "teacher: see metrics/align.json and metrics/filter"
        )
    align = facts.align_metrics
    stated = align["parallel"] if teacher in facts.compared_ids else align["kept"][teacher]
    if rows != stated:
        raise PackageError(
            f"{aligned}: {rows} rows, but metrics/align.json states {stated}; they come from different runs: "
            "run `dvc repro align`"
        )


def _refuse_licenses(facts: RunFacts, counts: Mapping[str, TeacherCounts]) -> None:
    package = facts.package
    found = consequences(licenses(facts, counts), package.allow_licenses)
    if lines := faults(found, package.license, package.allow_licenses):
        raise PackageError("\n".join(lines))


def _refuse_errors(findings: list[tuple[str, LintFinding]], out: Path) -> None:
    errors = [f"  {folder}/{finding}" for folder, finding in findings if finding.level == "error"]
    if errors:
        shown = errors[:SHOWN_FINDINGS]
        if len(errors) > SHOWN_FINDINGS:
            shown.append(f"  and {len(errors) - SHOWN_FINDINGS} more")
        raise PackageError(
            "\n".join([f"{out}: {len(errors)} errors, so no release was written:", *shown])
        )
