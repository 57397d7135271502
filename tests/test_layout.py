"""layout.py and dvc.yaml name the same places."""

import inspect
from pathlib import Path

from ruamel.yaml import YAML

from stillhouse import layout

ROOT = Path(__file__).resolve().parents[1]
IDS = {"teacher": "t", "student": "s"}
# The stage that makes each file or folder.
MADE_BY = {
    "BENCHMARK_ITEMS": "benchmark_items",
    "CURATED_QUERIES": "queries",
    "REJECTED_QUERIES": "queries",
    "CONTAMINATION": "queries",
    "CONFLICTS": "queries",
    "RELEASE": "package",
    "REPORT": "report",
    "attempts": "generate",
    "teacher_record": "generate",
    "judge_record": "generate",
    "fingerprint": "generate",
    "unmatched": "generate",
    "unanswered": "generate",
    "verdicts": "verify",
    "perplexities": "perplexity",
    "accepted": "filter",
    "decisions": "filter",
    "aligned": "align",
    "fit": "fit",
    "fit_lengths": "fit",
    "training_ids": "fit",
    "student_model": "sft",
    "samples": "benchmark",
    "model_card": "model_card",
}
# What is not made by a stage of dvc.yaml, and what a test of its own covers.
OTHERS = {"LOCK", "RECEIPTS", "STUDENT_RECEIPTS", "metrics", "effort", "plot"}


def outs(stage: str) -> set[Path]:
    """Return what dvc.yaml says a stage makes, for teacher t and student s."""
    found = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    entries = [e for kind in ("outs", "metrics", "plots") for e in found.get(kind, [])]
    paths = [e if isinstance(e, str) else next(iter(e)) for e in entries]
    return {Path(p.replace("${item.teacher}", "t").replace("${item.student}", "s")) for p in paths}


def place(name: str) -> Path:
    found = getattr(layout, name)
    if isinstance(found, Path):
        return found
    return found(*(IDS[parameter] for parameter in inspect.signature(found).parameters))


def test_every_place_is_an_out_of_its_stage():
    names = {n for n, v in vars(layout).items() if not n.startswith("_") and n != "Path"}
    assert names == set(MADE_BY) | OTHERS
    for name, stage in MADE_BY.items():
        path = place(name)
        assert any(path.is_relative_to(out) for out in outs(stage)), f"{name}: {path}"


def test_metrics_and_plots_are_those_of_dvc_yaml():
    for stage, ids in {
        **dict.fromkeys(("queries", "audit", "judge_audit", "align", "package"), ()),
        **dict.fromkeys(("generate", "verify", "perplexity", "filter"), ("t",)),
        "fit": ("s",),
        **dict.fromkeys(("sft", "benchmark"), ("t", "s")),
    }.items():
        assert layout.metrics(stage, *ids) in outs(stage)
    assert layout.effort("t") in outs("generate")
    assert layout.effort("filter", "t") in outs("filter")
    assert layout.plot("sft", "t", "s") in outs("sft")
    report = {layout.metrics("summary"), *map(layout.plot, ("funnel", "scores", "lengths"))}
    assert report <= outs("report")
