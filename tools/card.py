"""Show the cards of the last run in the documentation: the first teacher's data set and its first student.

Usage: python tools/card.py [DATA], DATA being the folder data of a project that has run.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/example-cards"
NOTE = "*The card as the last run of the embedded default made it; on the Hub its head is read by machines.*\n\n"


def copy_card(folder: Path, page: Path) -> None:
    """Write a card without its front matter as a page, its images beside it."""
    _, head, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    page.parent.mkdir(parents=True, exist_ok=True)
    images = page.parent / f"{page.stem}-images"
    shutil.rmtree(images, ignore_errors=True)
    shutil.copytree(folder / "images", images)
    body = body.lstrip("\n").replace("(images/", f"({images.name}/")
    body = body.replace(
        "<details>", "<details markdown>"
    )  # Python-Markdown leaves it as it is otherwise
    title, _, rest = body.partition("\n")
    if title.startswith("{#"):
        title, _, rest = rest.partition("\n")
    front = f"\n\n## Front matter\n\n```yaml\n{head}```\n"
    page.write_text(f"{title}\n\n{NOTE}{rest.lstrip()}{front}", encoding="utf-8")


def main(data: Path) -> int:
    """Copy both cards."""
    sets = sorted(p.parent for p in data.glob("release/*/data"))
    students = sorted(p.parent for p in data.glob("model_cards/*/*/README.md"))
    if not sets or not students:
        print(
            f"{data}: no packaged release or no model card: run make repro first", file=sys.stderr
        )
        return 2
    copy_card(sets[0], PAGES / "dataset.md")
    copy_card(students[0], PAGES / "student.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data"))
