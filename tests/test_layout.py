"""layout.py and dvc.yaml name the same places."""

import inspect
from pathlib import Path

from ruamel.yaml import YAML

from stillhouse import layout

ROOT = Path(__file__).resolve().parents[1]
IDS = {"teacher": "t", "student": "s", "seed": 7}
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
    "shuffled": "shuffle",
    "training_set": "align",
    "student_model": "sft",
    "samples": "benchmark",
    "samples_untrained": "benchmark_untrained",
    "model_card": "model_card",
}
# What is not made by a stage of dvc.yaml, and what a test of its own covers.
OTHERS = {
    *("LOCK", "RECEIPTS", "STUDENT_RECEIPTS", "SHUFFLED", "UNTRAINED"),
    *("metrics", "effort", "plot"),
}


def outs(stage: str) -> set[Path]:
    """Return what dvc.yaml says a stage makes, for teacher t, student s and seed 7."""
    found = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    entries = [e for kind in ("outs", "metrics", "plots") for e in found.get(kind, [])]
    paths = [e if isinstance(e, str) else next(iter(e)) for e in entries]
    for name, value in IDS.items():
        paths = [path.replace(f"${{item.{name}}}", str(value)) for path in paths]
    return {Path(path) for path in paths}


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
        **dict.fromkeys(("fit", "benchmark", "benchmark_untrained"), ("s",)),
        "sft": ("s", "t", "7"),
        "sft_shuffled": ("s", "t_shuffled", "7"),
    }.items():
        assert layout.metrics(stage.removesuffix("_shuffled"), *ids) in outs(stage)
    assert layout.effort("t") in outs("generate")
    assert layout.effort("filter", "t") in outs("filter")
    assert layout.plot("sft", "s", "t", "7") in outs("sft")
    assert layout.student_model("s", f"t{layout.SHUFFLED}", 7) in outs("sft_shuffled")
    assert layout.training_set(f"t{layout.SHUFFLED}") in outs("shuffle")
    report = {layout.metrics("summary"), *map(layout.plot, ("funnel", "scores", "lengths"))}
    assert report <= outs("report")
