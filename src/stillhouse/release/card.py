"""The card of a released data set. Every number in it comes from a metrics file or from the rows themselves."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from stillhouse.errors import StillhouseError
from stillhouse.params import Package, Run, Teacher, Verify
from stillhouse.release.rows import ATTEMPT_COLUMNS, EXAMPLE_COLUMNS

TEMPLATE = Path("dataset_cards/dataset.md.jinja")
SPLIT = "train"
# The judge of the paper is Qwen2.5-7B-Instruct (arXiv 2505.14464, section 2.2); a smaller one is called weak.
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


class CardError(StillhouseError):
    """The card cannot be written: the template or a number that it needs is missing."""


@dataclass
class Counts:
    """What the released rows themselves say, counted while they are written."""

    rows: int = 0
    tokens: int = 0
    arrow_bytes: int = 0
    with_think: int = 0
    by_category: dict[str, dict[str, int]] = field(default_factory=dict)
    by_source: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_verifier: dict[str, int] = field(default_factory=dict)
    by_attempt: dict[int, int] = field(default_factory=dict)
    attempt_rows: int = 0
    attempt_arrow_bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `default` rows."""
        names = ("category", "source", "source_license", "verifier", "attempt", "tokens", "think")
        columns = (batch.column(name).to_pylist() for name in names)
        for category, source, license_, verifier, attempt, tokens, think in zip(
            *columns, strict=True
        ):
            self.rows += 1
            self.tokens += tokens
            self.with_think += bool(think)
            part = self.by_category.setdefault(category, {"rows": 0, "tokens": 0})
            part["rows"] += 1
            part["tokens"] += tokens
            origin = self.by_source.setdefault(
                source, {"category": category, "license": license_, "rows": 0}
            )
            origin["rows"] += 1
            self.by_verifier[verifier] = self.by_verifier.get(verifier, 0) + 1
            self.by_attempt[attempt] = self.by_attempt.get(attempt, 0) + 1
        self.arrow_bytes += batch.nbytes

    def add_attempts(self, batch: pa.RecordBatch) -> None:
        """Count a batch of `attempts` rows."""
        self.attempt_rows += batch.num_rows
        self.attempt_arrow_bytes += batch.nbytes


@dataclass(frozen=True)
class CardFacts:
    """All that the card says.

    `metrics` holds the content of the metrics files under the names queries, generate, verify, perplexity, filter
    and align, those of this teacher where there is one file per teacher.
    """

    repo: str
    run: Run
    package: Package
    max_attempts: int
    verify: Verify
    teacher_ids: list[str]
    teacher_id: str
    teacher: Teacher
    judge: Teacher | None
    fingerprint: dict[str, Any]
    metrics: dict[str, Any]
    counts: Counts


def model_size(name: str) -> str | None:
    """Return the number of parameters that a model's name states ("135M", "7B"), or None."""
    match = _PARAMETERS.search(name.replace("-", " ").replace("_", " ").replace("/", " "))
    return f"{match[1]}{match[2].upper()}" if match else None


def is_weak_judge(judge: Teacher) -> bool:
    """Whether a judge is smaller than the paper's, as far as its name tells."""
    size = model_size(judge.model)
    return size is not None and float(size[:-1]) * _UNIT[size[-1]] < PAPER_JUDGE_PARAMETERS


def size_category(rows: int) -> str:
    """Return the Hub's size category of a number of rows."""
    return next((name for bound, name in _SIZES if rows < bound), _LARGEST)


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """Return the card's YAML part."""
    replay = facts.teacher.engine == "replay"
    return {
        "license": facts.package.license.lower(),
        "language": list(facts.package.languages),
        "pretty_name": f"{facts.package.pretty_name}: {facts.teacher.label}",
        "task_categories": ["text-generation"],
        "size_categories": [size_category(facts.counts.rows)],
        "tags": [
            "stillhouse",
            "distillation",
            "reasoning",
            "worked-solutions" if replay else "synthetic",
        ],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": SPLIT, "path": f"{folder}/{SPLIT}-*.parquet"}],
            }
            for name, folder in (("default", "data"), ("attempts", "attempts"))
        ],
        "dataset_info": [
            {
                "config_name": name,
                "splits": [{"name": SPLIT, "num_bytes": size, "num_examples": rows}],
            }
            for name, size, rows in (
                ("default", facts.counts.arrow_bytes, facts.counts.rows),
                ("attempts", facts.counts.attempt_arrow_bytes, facts.counts.attempt_rows),
            )
        ],
    }


def render_card(facts: CardFacts, template: Path = TEMPLATE) -> str:
    """Return the text of README.md.

    Raises:
        CardError: the template is missing or broken, or a metrics file lacks a number that it shows.
    """
    import yaml
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["rounded"] = lambda number: f"{number:,.2f}"
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    try:
        body = environment.from_string(template.read_text(encoding="utf-8")).render(
            repo=facts.repo,
            run=facts.run,
            package=facts.package,
            max_attempts=facts.max_attempts,
            verify=facts.verify,
            teacher_ids=facts.teacher_ids,
            teacher_id=facts.teacher_id,
            teacher=facts.teacher,
            judge=facts.judge,
            judge_size=model_size(facts.judge.model) if facts.judge else None,
            weak_judge=facts.judge is not None and is_weak_judge(facts.judge),
            fingerprint=facts.fingerprint,
            counts=facts.counts,
            split=SPLIT,
            example_columns=EXAMPLE_COLUMNS,
            attempt_columns=ATTEMPT_COLUMNS,
            verify_metrics=facts.metrics["verify"],
            **{name: content for name, content in facts.metrics.items() if name != "verify"},
        )
    except OSError as error:
        raise CardError(f"{template}: {error.strerror}; it is part of the project") from None
    except (TemplateError, TypeError, ValueError) as error:
        raise CardError(
            f"{template}: {error}; if a metrics file lacks it, run the stage that writes that file again"
        ) from None
    head = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{body}"
