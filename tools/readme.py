"""Put what the last run really gave into README.md: the headline, the tables and the funnel, between the run marks."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "report/report.md"
README = ROOT / "README.md"
START, END = "<!-- run:start -->", "<!-- run:end -->"
CHART = Path("docs/images/scores.svg")
TABLES = ("Table 1.", "Table 2.", "Table 3.", "Queries left")


def table(report: str, caption: str) -> str:
    """Return the first table whose caption starts with the given words, with the caption."""
    lines = report.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(caption))
    rows = []
    for line in lines[start + 1 :]:
        if line.startswith("|"):
            rows.append(line)
        elif line and rows:
            break
    return f"{lines[start]}\n\n" + "\n".join(rows)


def main() -> int:
    """Rewrite the part of README.md between the marks, and the chart."""
    if not REPORT.is_file():
        print(f"{REPORT.relative_to(ROOT)} is missing: run make repro first", file=sys.stderr)
        return 2
    report = REPORT.read_text(encoding="utf-8")
    headline = report.split("\n## ", 1)[0].split("\n", 1)[1].strip()
    chart = re.search(
        r"<svg.*?</svg>", (ROOT / "report/report.html").read_text(encoding="utf-8"), re.DOTALL
    )
    assert chart, "the report holds no chart"
    (ROOT / CHART).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / CHART).write_text(chart.group(0) + "\n", encoding="utf-8")
    parts = [
        headline,
        *(table(report, caption) for caption in TABLES),
        f"![The first chart of the report]({CHART})",
    ]
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    README.write_text(
        f"{before}{START}\n{chr(10).join(p + chr(10) for p in parts)}{END}{after}", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
