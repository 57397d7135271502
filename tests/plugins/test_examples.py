"""Each example does what its text promises, through the code that a run uses."""

import asyncio
import sys
from pathlib import Path

import pytest

from stillhouse import plugins
from stillhouse.benchmark.grade import StudentGrader
from stillhouse.benchmark.items import Item, ItemsError, load_items
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.models.client import Model
from stillhouse.models.declared import declared
from stillhouse.models.engine import Completion, EngineError, Request
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.queries import PluginSource
from stillhouse.params.teacher import Teacher, TeacherRuntime
from stillhouse.queries.rows import QueriesError
from stillhouse.queries.sources import load_source
from stillhouse.records import Message
from stillhouse.tables.attempts import Attempt
from tests.filter.graded import query, response
from tests.plugins.conftest import EXAMPLES, ROOT

pytestmark = pytest.mark.usefixtures("examples")
SOURCE = PluginSource(
    id="capitals",
    kind="plugin",
    category="science",
    license="cc-by-4.0",
    adapter="csv",
    config={"path": "inputs/capitals.csv", "prompt": "question", "ground_truth": "answer"},
)
TASK = BenchmarkTask(
    id="held_out",
    kind="plugin",
    plugin="csv",
    config={"path": "inputs/held_out.csv"},
    count=2,
    samples=1,
)
CAPITALS = "question,answer\nCapital of France?,Paris\nCapital of Peru?,Lima\n"
ECHO = "import json, sys; print(json.load(sys.stdin)[-1]['content'].upper())"


def teacher(**changes) -> Teacher:
    values = {
        "label": "command",
        "engine": "plugin",
        "model": "echo",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
        "plugin": {"name": "command", "config": {"argv": [sys.executable, "-c", ECHO]}},
    }
    return Teacher.model_validate(values | changes)


def test_every_example_is_loaded_here_and_has_a_page():
    names = {f"examples.{path.stem}" for path in (ROOT / "examples").glob("*.py")}
    assert names == set(EXAMPLES)
    page = (ROOT / "docs/how-to/extend.md").read_text()
    assert all(name.replace(".", "/") + ".py" in page for name in names)


def test_repeated_lines_are_dropped_and_short_responses_kept():
    rule = plugins.find("filter rule", "repeated_lines", "test").function

    def reason(answer: str, **params) -> str | None:
        return rule(Attempt(query(), response(answer=answer)), **params)

    assert reason("\n".join("abcdef")) is None
    assert reason("again\n" * 6) == "repeated_lines"
    assert reason("again\n" * 6, max_share=1.0) is None
    assert reason("again\n" * 4) is None


def test_csv_rows_become_queries(inputs: Path):
    (inputs / "capitals.csv").write_text(CAPITALS)
    first, second = load_source(SOURCE, 1)
    assert (first.prompt, first.ground_truth) == ("Capital of France?", "Paris")
    assert (second.source, second.license, second.category) == ("capitals", "cc-by-4.0", "science")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"path": "inputs/capitals.csv"}}, "missing a required argument: 'prompt'"),
        ({"config": SOURCE.config | {"pth": 1}}, "it takes: path, prompt, ground_truth"),
        ({"adapter": "cvs"}, "registered: csv"),
    ],
)
def test_a_wrong_configuration_of_a_source(inputs: Path, changes, said):
    with pytest.raises(plugins.PluginError, match=said):
        list(load_source(SOURCE.model_copy(update=changes), 1))


def test_an_adapter_that_fails_names_itself(inputs: Path):
    with pytest.raises(QueriesError, match=r"csv_rows\) failed after 0 rows: FileNotFoundError"):
        list(load_source(SOURCE, 1))


def test_csv_items_become_a_benchmark(inputs: Path):
    (inputs / "held_out.csv").write_text(CAPITALS)
    items = load_items(TASK.model_copy(update={"verifier": "regex"}), 1)
    assert [(i.prompt, i.answer, i.verifier) for i in items] == [
        ("Capital of France?", "Paris", "regex"),
        ("Capital of Peru?", "Lima", "regex"),
    ]
    with pytest.raises(ItemsError, match="count is 3"):
        load_items(TASK.model_copy(update={"count": 3}), 1)
    with pytest.raises(plugins.PluginError, match="it takes: path, delimiter"):
        load_items(TASK.model_copy(update={"config": {"paths": 1}}), 1)


def test_an_item_is_graded_by_its_verifier():
    item = Item("1", "held_out", "Year of the moon landing?", r"1969|69", "regex")

    def completion(text: str) -> Completion:
        return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)

    async def marks() -> list:
        grader = StudentGrader(10.0, 1)
        try:
            return [
                await grader.grade(item, completion(text))
                for text in ("It was\n1969", "It was 1969")
            ]
        finally:
            await grader.close()

    right, wrong = asyncio.run(marks())
    assert (right.strict, right.reason) == (1.0, None)
    assert (wrong.strict, wrong.reason) == (0.0, "wrong_answer")


def ask(spec: Teacher, folder: Path) -> tuple[Model, str]:
    async def run(journal: Journal) -> tuple[Model, str]:
        room = ModelRoom(journal)
        model = room.model("echo", spec, TeacherRuntime(), "teacher")
        try:
            request = Request(
                messages=[Message(role="user", content="hello")], seed=1, query_id="q"
            )
            return model, (await model.complete(request)).text
        finally:
            await room.close()

    with Journal.open(folder) as journal:
        return asyncio.run(run(journal))


def test_a_command_is_asked_once_and_its_fingerprint_says_which(tmp_path: Path):
    model, text = ask(teacher(), tmp_path)
    assert (text.strip(), model.asked, model.hits) == ("HELLO", 1, 0)
    assert model.fingerprint["plugin"] == {
        "name": "command",
        "version": "1",
        "config": {"argv": [sys.executable, "-c", ECHO]},
    }
    again, text = ask(teacher(), tmp_path)
    assert (text.strip(), again.asked, again.hits) == ("HELLO", 0, 1)


def test_another_configuration_or_version_is_asked_anew(tmp_path: Path, monkeypatch):
    ask(teacher(), tmp_path)
    argv = [sys.executable, "-c", ECHO.replace("upper", "title")]
    other = teacher(plugin={"name": "command", "config": {"argv": argv}})
    model, text = ask(other, tmp_path)
    assert (text.strip(), model.asked) == ("Hello", 1)
    assert declared(other) != declared(teacher())
    before = declared(teacher())
    monkeypatch.setattr(plugins.find("engine", "command", "test"), "version", "2")
    assert ask(teacher(), tmp_path)[0].asked == 1
    assert declared(teacher()) != before


def test_a_command_that_fails_is_an_error_of_the_engine(tmp_path: Path):
    spec = teacher(
        plugin={"name": "command", "config": {"argv": [sys.executable, "-c", "exit(3)"]}}
    )
    with pytest.raises(EngineError, match="exit code 3"):
        ask(spec, tmp_path)


def test_an_engine_needs_all_members(tmp_path: Path, monkeypatch):
    monkeypatch.delattr(plugins.find("engine", "command", "test").function, "close")
    with pytest.raises(EngineError, match="has no close"):
        ask(teacher(), tmp_path)
