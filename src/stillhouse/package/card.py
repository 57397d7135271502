"""Renders the card of a released data set. Every number comes from a metrics file, a parameter or the released rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.package import figures
from stillhouse.package.counts import ConfigCounts, TeacherCounts
from stillhouse.package.facts import Repository, RunFacts, repositories, student_repository
from stillhouse.package.license_names import hub_name
from stillhouse.package.licenses import Consequences, consequences
from stillhouse.package.render import CARDS, CardError, changelog_text, render, yaml_text
from stillhouse.package.rows import ABOUT, COLUMNS, SPLIT
from stillhouse.params.same_base import shared_bases
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import JUDGE_ROLES

if TYPE_CHECKING:
    pass

DATASET_CARD = "dataset.md.jinja"
SHOWN_WARNINGS = 20
# The judge of the paper is Qwen2.5-7B-Instruct (arXiv 2505.14464, section 2.2). The card calls a smaller judge weak.
PAPER_JUDGE_PARAMETERS = 7e9
_PARAMETERS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([MB])(?![A-Za-z0-9])", re.IGNORECASE)
_UNIT = {"M": 1e6, "B": 1e9}
# Upper bounds of the Hub's size categories.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_LARGEST = "100M<n<1B"


@dataclass(frozen=True)
class CardFacts:
    """The facts of a card. `configs` has counts by configuration, `counts` has those of every teacher of the run.

    `example` is the first row of the main configuration as text.
    """

    repository: Repository
    run: RunFacts
    configs: dict[str, ConfigCounts]
    counts: dict[str, TeacherCounts]
    warnings: list[str]
    example: str | None = None


def model_size(name: str) -> str | None:
    """Return the number of parameters that a model's name states ("135M", "7B"), or None."""
    match = _PARAMETERS.search(name.replace("-", " ").replace("_", " ").replace("/", " "))
    return f"{match[1]}{match[2].upper()}" if match else None


def is_weak_judge(judge: Teacher) -> bool:
    """Return whether a judge is smaller than the paper's, according to the size in its name."""
    size = model_size(judge.model)
    return size is not None and float(size[:-1]) * _UNIT[size[-1]] < PAPER_JUDGE_PARAMETERS


def size_category(rows: int) -> str:
    """Return the Hub's size category of a number of rows."""
    return next((name for bound, name in _SIZES if rows < bound), _LARGEST)


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """Return the YAML front matter of the card, which the Hub shows and `load_dataset` reads."""
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    repo, package = facts.repository, facts.run.package
    specs = [facts.run.teachers[teacher].spec for teacher in repo.teacher_ids]
    generated = any(spec.engine != "replay" for spec in specs)
    card = DatasetCardData(
        license=hub_name(package.license),
        language=list(package.languages),
        pretty_name=title(facts),
        task_categories=["text-generation"],
        size_categories=[size_category(_main_counts(facts).rows)],
        tags=["stillhouse", "distillation", "reasoning"]
        + (["synthetic"] if generated else [])
        + (["worked-solutions"] if any(spec.engine == "replay" for spec in specs) else []),
        annotations_creators=["machine-generated"],
    )
    infos = {
        config.name: DatasetInfo(
            config_name=config.name,
            features=Features.from_arrow_schema(config.schema),
            splits=[
                {
                    "name": SPLIT,
                    "num_bytes": facts.configs[config.name].bytes,
                    "num_examples": facts.configs[config.name].rows,
                }
            ],
            dataset_size=facts.configs[config.name].bytes,
        )
        for config in repo.configs
    }
    DatasetInfosDict(infos).to_dataset_card_data(card)
    found: dict[str, Any] = card.to_dict()
    main = main_config(repo)
    found["configs"] = [
        {
            "config_name": config.name,
            "data_files": [{"split": SPLIT, "path": config.data_files}],
            # datasets recognises `default` by its name; another main configuration needs this field.
            **({"default": True} if config.name == main != "default" else {}),
        }
        for config in repo.configs
    ]
    return found


def title(facts: CardFacts) -> str:
    """Return the heading of the card."""
    name = facts.run.package.pretty_name
    repo = facts.repository
    if len(repo.teacher_ids) == 1:
        return f"{name}: {facts.run.teachers[repo.teacher_ids[0]].spec.label}"
    return f"{name}: all teachers side by side" if len(repo.configs) == 1 else name


def licenses(run: RunFacts, counts: Mapping[str, TeacherCounts]) -> dict[str, str]:
    """Return the licences that apply to a release, by the name of the source or teacher."""
    by_source = run.queries_metrics["by_source"]
    found = {(name, terms) for name, part in by_source.items() for terms in part["licenses"]}
    for own in counts.values():
        found |= own.source_licenses
    times = Counter(name for name, _ in found)
    # Rows of one source may name different licences.
    sources = {
        f"source {name}" if times[name] == 1 else f"source {name}, rows under {terms}": terms
        for name, terms in sorted(found)
    }
    models = {f"teacher {name}": facts.spec.license for name, facts in run.teachers.items()}
    return sources | models


def draw_figures(folder: Path, run: RunFacts, counts: Mapping[str, TeacherCounts]) -> None:
    """Draw the figures of the cards into a folder. They compare the teachers and are the same in all repositories.

    Args:
        folder: The folder of the images.
        run: The facts of the run.
        counts: The counts of each teacher.
    """
    names = {teacher: part.spec.label for teacher, part in run.teachers.items()}
    figures.funnel(
        [
            {"teacher": teacher, "step": step, "queries": queries}
            for step, by_teacher in _funnel(run)
            for teacher, queries in by_teacher.items()
        ],
        names,
        folder / "funnel.png",
    )
    tokens = {teacher: found.tokens for teacher, found in counts.items()}
    figures.lengths(tokens, names, folder / "lengths.png")
    sources = sorted({source for found in counts.values() for source, _ in found.attempts})
    figures.pass_rates(
        [
            {"teacher": teacher, "source": source, "share": found.passed(source)}
            for source in sources
            for teacher, found in counts.items()
        ],
        names,
        folder / "pass_rates.png",
    )


def render_card(facts: CardFacts, cards: Path = CARDS) -> str:
    """Return the text of README.md.

    Raises:
        CardError: the template is missing or broken, or a metrics file lacks a number of the card.
    """
    run, repo = facts.run, facts.repository
    package = run.package
    all_repositories = repositories(package, list(run.teachers), run.compared_ids)
    compared = [teacher for teacher in repo.teacher_ids if teacher in run.compared_ids]
    released: Counter[str] = Counter()
    for teacher in [*compared, *repo.teacher_ids][:1]:  # compared teachers have the same queries
        for source, part in facts.counts[teacher].sources.items():
            released[source] += part["rows"]
    judge = run.judge
    shown = {
        "title": title(facts),
        "repo_id": repo.repo_id,
        "package": package,
        "run": run.run,
        "generate": run.generate,
        "verify": run.verify,
        "perplexity": run.perplexity,
        "queries_params": run.queries,
        "queries": run.queries_metrics,
        "align": run.align_metrics,
        "compared_ids": run.compared_ids,
        "compared": compared,
        "not_compared": [teacher for teacher in repo.teacher_ids if teacher not in compared],
        "contamination": run.contamination,
        "audit": run.audit,
        "judge_audit": run.judge_audit,
        "all_teachers": {teacher: part.spec for teacher, part in run.teachers.items()},
        "teachers": {teacher: run.teachers[teacher] for teacher in repo.teacher_ids},
        "only": repo.teacher_ids[0],
        "counts": facts.counts,
        "configs": [(config, facts.configs[config.name]) for config in repo.configs],
        "columns": COLUMNS,
        "about": ABOUT,
        "split": SPLIT,
        "filter": run.filter,
        "example": facts.example and {"config": main_config(repo), "text": facts.example},
        "train_on": [config.name for config in repo.configs if config.kind == "data"],
        "siblings": [other.repo_id for other in all_repositories if other.folder != repo.folder],
        "student_repos": [
            student_repository(package, teacher, student)
            for teacher in compared
            for student in run.student_ids
        ],
        "funnel": _funnel(run),
        "released_by_source": released,
        "terms": _terms(facts),
        "judge": judge,
        "judge_roles": JUDGE_ROLES,
        "judge_only": {
            teacher: sum(map(facts.counts[teacher].judge_only, facts.counts[teacher].verifiers))
            for teacher in repo.teacher_ids
        },
        "judge_size": model_size(judge.model) if judge else None,
        "weak_judge": judge is not None and is_weak_judge(judge),
        "same_base": shared_bases(
            [part.spec for part in run.teachers.values()], judge=judge, scorer=run.perplexity
        ),
        "warnings": facts.warnings,
        "shown_warnings": SHOWN_WARNINGS,
        "changelog": changelog_text(cards),
    }
    body = render(cards / DATASET_CARD, shown)
    return f"---\n{yaml_text(front_matter(facts))}---\n\n{body}"


def main_config(repo: Repository) -> str:
    """Return the name of the configuration that is loaded by default."""
    names = [config.name for config in repo.configs]
    return "default" if "default" in names else "parallel"


def _main_counts(facts: CardFacts) -> ConfigCounts:
    return facts.configs[main_config(facts.repository)]


def _terms(facts: CardFacts) -> Consequences:
    counts = {teacher: facts.counts[teacher] for teacher in facts.repository.teacher_ids}
    bound = licenses(facts.run, counts)
    mine = {f"teacher {teacher}" for teacher in facts.repository.teacher_ids}
    return consequences(
        {
            name: terms
            for name, terms in bound.items()
            if name.startswith("source ") or name in mine
        },
        facts.run.package.allow_licenses,
    )


def _funnel(run: RunFacts) -> Sequence[tuple[str, dict[str, int]]]:
    """Return the number of queries that remain after each step, by teacher."""
    steps = {
        "asked": "queries",
        "answered": "answered",
        "passed verification": "passed",
        "kept by the filter": "kept",
    }
    try:
        rows = [
            (step, {t: int(part.metrics["filter"][key]) for t, part in run.teachers.items()})
            for step, key in steps.items()
        ]
    except KeyError as error:
        raise CardError(f"metrics/filter lacks {error}; run the filter stage again") from None
    parallel = dict.fromkeys(run.compared_ids, int(run.align_metrics["parallel"]))
    if len(parallel) == len(run.teachers):
        return [*rows, ("answered by all (released)", parallel)]
    # A teacher that is not compared releases what its filter kept.
    released = {teacher: parallel.get(teacher, kept) for teacher, kept in rows[-1][1].items()}
    return [*rows, ("released (of compared teachers: answered by all of them)", released)]
