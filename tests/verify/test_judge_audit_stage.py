"""The judge is measured only in a run whose queries need it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from stillhouse.params.load import load_run
from stillhouse.params.stage import StageParams
from stillhouse.records import Message, Query, query_id
from stillhouse.tables.write import write_table

ROOT = Path(__file__).resolve().parents[2]


def query(category: str) -> Query:
    messages = [Message(role="user", content=f"A question of {category}")]
    return Query(
        id=query_id(messages),
        category=category,  # type: ignore[arg-type]
        source="own",
        license="mit",
        messages=messages,
        ground_truth="2",
    )


@pytest.mark.parametrize(("category", "asked"), [("math", False), ("other", True)])
def test_no_judge_is_asked_where_rules_decide_every_query(
    category: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = load_run(ROOT).verify
    assert verify.judge.math == "never"
    spec = importlib.util.spec_from_file_location("judge_audit", ROOT / "stages/judge_audit.py")
    assert spec is not None
    assert spec.loader is not None
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    questioned = []

    async def questioned_double(*arguments: Any) -> list[Any]:
        questioned.append(arguments)
        return []

    monkeypatch.chdir(tmp_path)
    write_table(Path("data/queries/curated"), Query, [query(category)])
    tracked = StageParams("judge_audit", {"verify": verify.model_dump()})
    monkeypatch.setattr(stage, "load_stage", lambda: tracked)
    monkeypatch.setattr(stage, "judge_of", lambda _: ("judge", None))
    monkeypatch.setattr(stage, "load_questions", list)
    monkeypatch.setattr(stage, "question_judge", questioned_double)
    monkeypatch.setattr(stage, "summary", lambda judged: {})
    stage.main.callback()
    assert bool(questioned) == asked
    assert json.loads(Path("metrics/judge_audit.json").read_text(encoding="utf-8")) == {}
