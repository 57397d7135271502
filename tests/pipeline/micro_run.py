"""A micro run: the real pipeline in a folder of its own, with scripted teachers behind the real endpoint engine.

Each query of the set is named after how the scripted teachers behave on it; `EXPECTED` says what the pipeline must make
of that, row by row.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stillhouse.journal.journal import Journal
from tests.doubles.scripted_endpoint import ScriptedEndpoint, completion

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "dvc.yaml",
    "inputs",
    "stages",
    "dataset_cards",
    "requirements",
    "conf/chat_templates",
    "src",
    "plugins",
)
ATTEMPTS = 3
IN_FLIGHT = 2
ZEROS = "0" * 40
WRONG = "<think>I guess.</think>The answer is 1."


def _right(value: str) -> str:
    return f"<think>I know it.</think>The answer is {value}."


# query name -> (category, ground truth, answers of the scripted teacher by attempt as (text, finish reason))
Script = list[tuple[str, str]]
MATH: dict[str, tuple[str, Script]] = {
    "right": ("70", [(_right("70"), "stop")]),
    "second": ("71", [(WRONG, "stop"), (_right("71"), "stop")]),
    "never": ("72", [(WRONG, "stop")] * ATTEMPTS),
    "truncated": ("73", [(_right("73"), "length")] * ATTEMPTS),
    "looping": (
        "74",
        [
            (
                f"<think>{'so I add one and one and one again ' * 200}</think>The answer is 74.",
                "stop",
            )
        ],
    ),
    "unclosed": ("75", [("<think>The answer is 75.", "stop")] * ATTEMPTS),
    "empty": ("76", [("", "stop")] * ATTEMPTS),
    "stray": (
        "77",
        [("<think>I know.</think>So </think> it is.\n\nThe answer is 77.", "stop")] * ATTEMPTS,
    ),
    "reopened": ("78", [("<think>I know.</think>The answer is 78. <think>", "stop")] * ATTEMPTS),
}
HOSTILE = (
    "<think>Ha.</think>```python\nimport os\nos.system('touch /tmp/escaped')\nos._exit(0)\n```"
)
ADD = "<think>Add.</think>```python\ndef add(a, b):\n    return a + b\n```"
CODE: dict[str, Script] = {"hostile": [(HOSTILE, "stop")] * ATTEMPTS, "adding": [(ADD, "stop")]}
POLITE = "Good day to you."
# Without constraints: the judge writes the demands, and says of each answer whether it meets them.
INSTRUCTIONS: dict[str, Script] = {
    "polite": [(f"<think>Hm.</think>{text}", "stop") for text in ("Go away.", POLITE)]
}
DEMANDS = ["It is polite.", "It is short."]
# what the filter stage decides on the last attempt of each query, and how many attempts there are
EXPECTED: dict[str, tuple[int, str | None]] = {
    "right": (1, None),
    "second": (2, None),
    "never": (3, "not_verified"),
    "truncated": (3, "not_verified"),
    "looping": (1, "repetition"),
    "unclosed": (3, "not_verified"),
    "empty": (3, "not_verified"),
    "stray": (3, "stray_mark"),
    "reopened": (3, "not_verified"),
    "hostile": (3, "not_verified"),
    "adding": (1, None),
    "polite": (2, None),
}


def _text(name: str) -> str:
    return f"Question {name}: which number or function is meant here?"


def query_rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the query files; one of them stands in the benchmark too."""
    math = [
        {
            "prompt": _text(name),
            "ground_truth": truth,
            "solution": {"think": "It is given.", "answer": f"The answer is {truth}."},
        }
        for name, (truth, _) in MATH.items()
    ]
    math.append({"prompt": _text("contaminated"), "ground_truth": "9"})
    code = [
        {
            "prompt": _text(name),
            "language": "python",
            "entry_point": "add",
            "tests": [{"kind": "assert", "code": "assert add(2, 3) == 5"}],
            "solution": {
                "think": "Add them.",
                "answer": "```python\ndef add(a, b):\n    return a + b\n```",
            },
        }
        for name in CODE
    ]
    instructions = [
        {"prompt": _text(name), "solution": {"think": "Be kind.", "answer": POLITE}}
        for name in INSTRUCTIONS
    ]
    return {"math": math, "code": code, "if": instructions}


def _judged(turn: str) -> str:
    if "What must an answer do?" in turn:
        return "\n".join(f"- {demand}" for demand in DEMANDS)
    return "yes" if POLITE in turn and "meet the demand" in turn else "no"


class ScriptedTeachers:
    """Answers by the script above; the k-th new seed of a query is its k-th attempt.

    The judge finds demands met by the one polite answer, and says no to everything else.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.held: list[tuple[str, str, int]] = []
        self.hold_after: int | None = None
        self.release = threading.Event()
        self._seeds: dict[tuple[str, str], list[int]] = {}
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] == "judge":
            return completion(_judged(body["messages"][-1]["content"]))
        match = re.search(r"Question (\w+):", body["messages"][-1]["content"])
        assert match
        name = match.group(1)
        request = (body["model"], name, body["seed"])
        with self._lock:
            self.asked.append(request)
            seeds = self._seeds.setdefault((body["model"], name), [])
            if body["seed"] not in seeds:
                seeds.append(body["seed"])
            attempt = seeds.index(body["seed"])
            hold = self.hold_after is not None and len(self.asked) > self.hold_after
            if hold:
                self.held.append(request)
        if hold:
            self.release.wait(300)
        script = MATH[name][1] if name in MATH else (CODE | INSTRUCTIONS)[name]
        text, finish = script[attempt]
        return completion(text, finish_reason=finish)


class MicroRun:
    """A copy of the project with its own parameters, in a folder of its own."""

    def __init__(self, folder: Path, tiny_model: Path, endpoint: ScriptedEndpoint) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STILLHOUSE_JOURNAL": str(folder / "journal"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(folder / "src"),
            "PYTHONDONTWRITEBYTECODE": "",
            "DVC_NO_ANALYTICS": "1",
        }
        folder.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(
                source,
                folder / name,
                **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}),
            )
        for name, rows in query_rows().items():
            lines = [json.dumps(row) for row in rows]
            (folder / f"inputs/{name}.jsonl").write_text("\n".join(lines) + "\n")
        for path in (ROOT / "tests/verify/golden").glob("*.json"):
            (folder / "tests/verify/golden").mkdir(parents=True, exist_ok=True)
            first = json.loads(path.read_text())[:1]
            (folder / "tests/verify/golden" / path.name).write_text(json.dumps(first))
        item = {"prompt": _text("contaminated"), "answer": "9"}
        (folder / "inputs/items.jsonl").write_text(json.dumps(item) + "\n")
        self._configure(tiny_model, endpoint)
        for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            subprocess.run(command, cwd=folder, env=self.environment, check=True)
        shutil.copy(ROOT / ".dvcignore", folder)  # else byte code counts as changed code

    def _configure(self, tiny_model: Path, endpoint: ScriptedEndpoint) -> None:
        params = read(ROOT / "params.yaml")
        params["teacher_ids"] = params["compared_ids"] = ["alpha", "worked"]
        source = {"kind": "file", "license": "apache-2.0"}
        params["queries"]["sources"] = [
            {"id": f"own_{name}", "category": name, "path": f"inputs/{name}.jsonl", **source}
            for name in query_rows()
        ]
        params["generate"]["max_attempts"] = ATTEMPTS
        params["verify"]["judge"] = {"model": "judge", "math": "any_no", "science": "any_no"}
        params["perplexity"].update(model=f"path:{tiny_model}", revision=ZEROS, max_tokens=256)
        params["filter"].update(max_tokens=100_000)
        params["benchmark"]["tasks"] = [
            {
                "id": "own_items",
                "kind": "file",
                "path": "inputs/items.jsonl",
                "count": 1,
                "samples": 1,
            }
        ]
        write(self.folder / "params.yaml", params)
        for name in ("alpha", "judge"):
            teacher = {
                "label": name,
                "engine": "openai",
                "model": name,
                "revision": ZEROS,
                "license": "apache-2.0",
                "reasoning": "none" if name == "judge" else "think_tags",
                "sampling": {
                    "temperature": 0.0 if name == "judge" else 0.7,
                    "top_p": 1.0,
                    "max_tokens": 64,
                },
            }
            self.write_teacher(name, {"teacher": teacher, "perplexity_cut": None})
        runtime = {"endpoints": [endpoint.url], "in_flight_per_endpoint": IN_FLIGHT}
        runtimes = {"teachers": {name: dict(runtime) for name in ("alpha", "judge")}}
        write(self.folder / "conf/runtime.yaml", runtimes)
        teacher = {
            "label": "worked solutions",
            "engine": "replay",
            "model": "worked-solutions",
            "revision": "none",
            "license": "apache-2.0",
            "reasoning": "think_tags",
            "replay": {"kind": "solutions"},
            "tokenizer": {"model": f"path:{tiny_model}", "revision": ZEROS},
        }
        self.write_teacher("worked", {"teacher": teacher, "perplexity_cut": None})
        shutil.copytree(ROOT / "conf/students", self.folder / "conf/students")

    def write_teacher(self, name: str, content: dict[str, Any]) -> None:
        """Write conf/teachers/<name>.yaml."""
        write(self.folder / f"conf/teachers/{name}.yaml", content)

    def edit(self, path: str, **changes: Any) -> None:
        """Change values of a YAML file, named by their dotted keys with `__` for the dots."""
        content = read(self.folder / path)
        for dotted, value in changes.items():
            *parents, last = dotted.split("__")
            section = content
            for key in parents:
                section = section[key]
            section[last] = value
        write(self.folder / path, content)

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro` and return the stages that it ran, in order."""
        command = ["dvc", "repro", *(arguments or ("package",))]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"Running stage '([^']+)'", done.stdout)

    def kill_inside(self, teacher: str, teachers: ScriptedTeachers) -> None:
        """Kill a teacher's generate stage, the whole process group, once all but the held answers are journaled."""
        process = subprocess.Popen(
            ["dvc", "repro", f"generate@{teacher}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: (
                    len(teachers.held) == IN_FLIGHT
                    and self.journaled(teacher) == len(teachers.asked) - IN_FLIGHT
                )
            )
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def journaled(self, teacher: str) -> int:
        """Return how many answers of a teacher are safe in the journal."""
        with Journal.open(self.folder / "journal") as journal:
            groups = journal.stats()["groups"]
        return sum(
            g["answers"] for g in groups if (g["purpose"], g["model"]) == ("teacher", teacher)
        )


def wait_until(reached: Callable[[], bool]) -> None:
    """Return when something has come about; fail when it has not within five minutes."""
    deadline = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.05)


def read(path: Path) -> dict[str, Any]:
    """Return a YAML file."""
    content: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        YAML().dump(content, file)
