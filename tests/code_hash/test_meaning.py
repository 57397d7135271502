"""Which changes of code change the hash of a stage, on a small project."""

from pathlib import Path

import pytest

from stillhouse.code_hash.digest import Hasher
from stillhouse.code_hash.source import CodeHashError

SCRIPT = Path("stages/filter.py")
FILES = {
    "src/house/__init__.py": "",
    "src/house/room/__init__.py": '"""A room."""\n',
    "src/house/room/rules.py": '''
"""Rules."""
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from house.base import Base, helper as help_me

if TYPE_CHECKING:
    from house.other import Unused

LIMIT = 3
UNUSED = 4
PROMPTS = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class Rule(Base):
    """One rule."""

    limit: int = LIMIT
    other: "Later | None" = None


class Later:
    name = "later"


@functools.cache
def keep(text: str, least: int = 1) -> bool:
    """Whether a text is kept."""
    rule: Rule = Rule()  # a comment
    prompt = (PROMPTS / f"{text}.jinja").read_text()
    return help_me(text, prompt) > least + rule.limit + np.zeros(1)[0]


def unused(text: str) -> bool:
    return bool(text)
''',
    "src/house/room/prompts/one.jinja": "Is it so?\n",
    "src/house/room/prompts/README.md": "About prompts\n",
    "src/house/base.py": """
from house.registry import registered


class Base:
    kind = "base"


def helper(text, prompt):
    return deep(text) + len(prompt)


def deep(text):
    return len(text)


@registered("loud")
def loud(text):
    return text.upper()
""",
    "src/house/registry.py": """
KNOWN = {}


def registered(name):
    def wrap(function):
        KNOWN[name] = function
        return function

    return wrap
""",
    "src/house/other.py": "class Unused:\n    pass\n",
    "stages/filter.py": '''
"""The stage."""
from house.room.rules import keep


def main():
    """Run it."""
    print(keep("one"))


if __name__ == "__main__":
    main()
''',
    "requirements/imports.toml": 'numpy = ["numpy"]\nmath_verify = ["math-verify", "sympy"]\n',
    "requirements/main.txt": "numpy==2.0.0\nmath-verify==0.9.0\nsympy==1.0\nother==1.0\n",
    "requirements/gpu.txt": "numpy==2.0.0\nmath-verify==0.9.0\nsympy==1.0\n",
    "requirements/eval.txt": "lighteval==1.0\n",
    "requirements/payload.txt": "cases==1.0\n",
}
RULES = "src/house/room/rules.py"
BASE = "src/house/base.py"


class Tree:
    """A project's files, and the hash of its one stage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def move(self, old: str, new: str) -> None:
        (self.root / new).parent.mkdir(parents=True, exist_ok=True)
        (self.root / old).rename(self.root / new)

    def digest(self) -> str:
        return Hasher(self.root).digest(SCRIPT)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (RULES, "# a comment", "# another one"),
        (RULES, '"""Whether a text is kept."""', '"""Whether it is."""'),
        (RULES, '"""One rule."""', '"""A rule of this house."""'),
        (RULES, '"""Rules."""', '"""The rules of this house."""'),
        (RULES, "least: int = 1) -> bool:", "least: float = 1\n) -> int:"),
        (RULES, "rule: Rule = Rule()", "rule: object = Rule()"),
        (RULES, "return bool(text)", "return not text"),
        (RULES, "UNUSED = 4", "UNUSED = 5"),
        (RULES, "from house.other import Unused", "from house.other import Unused as Other"),
        (BASE, "    return len(text)", "    return (\n        len(text)\n    )"),
        ("src/house/room/prompts/README.md", "About", "All about"),
        ("src/house/other.py", "pass", "x = 1"),
        ("requirements/main.txt", "other==1.0", "other==2.0"),
        ("requirements/main.txt", "math-verify==0.9.0", "math-verify==0.9.1"),
        ("requirements/main.txt", "numpy==2.0.0", "numpy==2.0.0+cpu"),
        ("requirements/eval.txt", "1.0", "2.0"),
    ],
)
def test_what_no_run_can_see_changes_nothing(tree: Tree, name: str, old: str, new: str) -> None:
    before = tree.digest()
    tree.replace(name, old, new)
    assert tree.digest() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (RULES, "least: int = 1", "least: int = 2"),
        (RULES, "@functools.cache", "@functools.lru_cache"),
        (RULES, "@dataclass(frozen=True)", "@dataclass"),
        (RULES, "class Rule(Base)", "class Rule"),
        (RULES, "LIMIT = 3", "LIMIT = 30"),
        (RULES, "limit: int = LIMIT", "limit: float = LIMIT"),
        (RULES, 'name = "later"', 'name = "now"'),  # named by a text in an annotation
        (RULES, "import numpy as np", "import math as np"),
        (BASE, 'kind = "base"', 'kind = "low"'),
        (BASE, "return len(text)", "return 2 * len(text)"),  # called by what is called
        (BASE, "text.upper()", "text.lower()"),  # a decorator has kept it
        (BASE, '@registered("loud")', '@registered("very loud")'),
        ("src/house/registry.py", "KNOWN[name] = function", "KNOWN[name] = [function]"),
        ("src/house/room/prompts/one.jinja", "so", "not so"),
        ("src/house/room/__init__.py", '"""A room."""', "import os\nos.umask(0)"),
        ("stages/filter.py", 'keep("one")', 'keep("two")'),
        ("requirements/main.txt", "numpy==2.0.0", "numpy==2.0.1"),
        ("requirements/gpu.txt", "numpy==2.0.0", "numpy==2.0.1"),
    ],
)
def test_what_a_run_can_see_changes_the_hash(tree: Tree, name: str, old: str, new: str) -> None:
    before = tree.digest()
    tree.replace(name, old, new)
    assert tree.digest() != before


def test_a_moved_file_and_a_renamed_package_change_nothing(tree: Tree) -> None:
    before = tree.digest()
    tree.move("src/house/base.py", "src/house/ground/floor.py")
    tree.write("src/house/ground/__init__.py", '"""The ground."""')
    tree.replace(RULES, "from house.base", "from house.ground.floor")
    tree.move("src/house/room", "src/house/hall")
    tree.replace(str(SCRIPT), "house.room.rules", "house.hall.rules")
    assert tree.digest() == before


def test_a_definition_that_moves_to_another_file_changes_nothing(tree: Tree) -> None:
    before = tree.digest()
    tree.replace(BASE, "def deep(text):\n    return len(text)\n", "from house.deep import deep\n")
    tree.write("src/house/deep.py", "def deep(text):\n    return len(text)\n")
    assert tree.digest() == before


def test_definitions_that_trade_names_change_the_hash(tree: Tree) -> None:
    tree.replace(BASE, "return deep(text) + len(prompt)", "return deep(text) - flat(prompt)")
    tree.write("src/house/two.py", "def a(t):\n    return 1\n\n\ndef b(t):\n    return 2\n")
    tree.replace(
        BASE,
        "def deep(text):\n    return len(text)\n",
        "from house.two import a as deep, b as flat\n",
    )
    before = tree.digest()
    tree.replace(BASE, "a as deep, b as flat", "b as deep, a as flat")
    assert tree.digest() != before


@pytest.mark.parametrize(
    "use",
    [
        "from house.late import run\n    run()",
        "import house.late\n    house.late.run()",
        "import importlib\n    importlib.import_module('house.late').run()",
        "import sys\n    sys.modules['house.late'].run()",
        "import subprocess, sys\n    subprocess.run([sys.executable, '-m', 'house.late'])",
        "import house.late\n    getattr(house.late, 'ru' + 'n')()",
        "import house.late\n    exec('house.late.run()')",
        "import house.late\n    getattr(made(), 'run')",
        "from pathlib import Path\n    go(Path(__file__).parent / 'late.py')",
    ],
)
def test_code_that_is_reached_in_other_ways_is_in(tree: Tree, use: str) -> None:
    tree.write(
        "src/house/late.py", "def run():\n    return 1\n\n\nif __name__ == '__main__':\n    run()\n"
    )
    tree.replace(BASE, "    return len(text)", f"    {use}\n    return len(text)")
    before = tree.digest()
    tree.replace("src/house/late.py", "return 1", "return 2")
    assert tree.digest() != before


def test_a_subclass_that_its_base_notes_is_in(tree: Tree) -> None:
    tree.replace(BASE, 'kind = "base"', "def __init_subclass__(cls):\n        SEEN.append(cls)")
    tree.write(BASE, (tree.root / BASE).read_text() + "\n\nclass Quiet(Base):\n    volume = 1\n")
    before = tree.digest()
    tree.replace(BASE, "volume = 1", "volume = 2")
    assert tree.digest() != before


def test_plugins_have_a_hash_of_their_own_with_the_code_that_they_use(tree: Tree) -> None:
    tree.write(
        "plugins/mine.py",
        "from house.base import helper\n\n\ndef rule():\n    return helper('a', 'a')\n",
    )
    stage, before = tree.digest(), Hasher(tree.root).plugins(["plugins.mine"])
    tree.replace("plugins/mine.py", "'a', 'a'", "'a', 'b'")
    changed = Hasher(tree.root).plugins(["plugins.mine"])
    assert changed != before
    assert tree.digest() == stage
    tree.replace("plugins/mine.py", "def rule", "# a comment\ndef rule")
    assert Hasher(tree.root).plugins(["plugins.mine"]) == changed
    tree.replace(BASE, "return len(text)", "return 2 * len(text)")
    assert Hasher(tree.root).plugins(["plugins.mine"]) != changed
    assert Hasher(tree.root).plugins([]) != before


def test_a_plugin_outside_its_folder_is_refused(tree: Tree) -> None:
    tree.write("mine.py", "x = 1\n")
    with pytest.raises(CodeHashError, match=r"mine\.py: .* the folder plugins/; move the module"):
        Hasher(tree.root).plugins(["mine"])


def test_data_of_installed_packages_counts_where_it_is_looked_for(tree: Tree) -> None:
    tree.replace(BASE, "return len(text)", "return importlib.util.find_spec(text)")
    before = tree.digest()
    tree.replace("requirements/payload.txt", "cases==1.0", "cases==1.1")
    assert tree.digest() != before


@pytest.mark.parametrize(
    "use", ["helper.__doc__", "__doc__", "getattr(helper, '__doc__')", "inspect.getdoc(helper)"]
)
def test_a_docstring_as_data_is_refused_where_a_stage_reaches_it(tree: Tree, use: str) -> None:
    tree.replace(RULES, "return bool(text)", f"return {use}")
    tree.digest()  # no stage reaches it
    tree.replace(BASE, "return len(text)", f"return len({use})")
    with pytest.raises(CodeHashError, match=r"base\.py:\d+: a docstring is used as data"):
        tree.digest()


def test_an_import_without_a_line_in_the_map_is_named(tree: Tree) -> None:
    tree.replace(RULES, "import numpy as np", "import scipy as np")
    with pytest.raises(CodeHashError, match=r"imports\.toml: no line for the import 'scipy'"):
        tree.digest()


def test_a_file_that_is_not_python_is_named(tree: Tree) -> None:
    tree.write(BASE, "def (:\n")
    with pytest.raises(CodeHashError, match=r"base\.py: not valid Python"):
        tree.digest()


def test_of_a_module_that_is_only_preloaded_the_effects_of_its_import_are_in(tree: Tree) -> None:
    late = "src/house/late.py"
    tree.write(late, "import os\n\nos.umask(1)\n\n\ndef run():\n    return 3\n")
    tree.replace(BASE, "return len(text)", "return preload(['house.late'])")
    before = tree.digest()
    tree.replace(late, "return 3", "return 4")
    assert tree.digest() == before
    tree.replace(late, "umask(1)", "umask(2)")
    assert tree.digest() != before


def test_top_level_effects_count_in_their_order(tree: Tree) -> None:
    tree.replace(
        BASE, "class Base:", "STATE = []\nSTATE.append(1)\nSTATE.append(2)\n\n\nclass Base:"
    )
    before = tree.digest()
    tree.replace(BASE, "STATE.append(1)\nSTATE.append(2)", "STATE.append(2)\nSTATE.append(1)")
    assert tree.digest() != before
