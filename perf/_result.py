"""How every measurement ends: one JSON file with the ratio, the goal, and the facts behind them."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, ratio: float, goal: float, **facts: Any) -> None:
    """Write perf/results/<name>.json and print it; `ratio` at or above `goal` is good."""
    content = {"name": name, "ratio": round(ratio, 4), "goal": goal, **facts}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
