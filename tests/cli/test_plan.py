import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.generate.loop import Loop
from stillhouse.journal.journal import FOLDER_VARIABLE, Journal
from stillhouse.models.build import ModelRoom
from stillhouse.params.files import read_yaml
from stillhouse.params.load import load_run, load_teacher
from stillhouse.records import Message, Query, Trace, Verdict, query_id
from stillhouse.tables.write import write_table
from stillhouse.verify.grade import judge_requests
from tests.cli.json_output import document
from tests.doubles.scripted_endpoint import ScriptedEndpoint, completion

ROOT = Path(__file__).resolve().parents[2]


def query(
    name: str, category: str = "math", ground_truth: str | None = None, **more: object
) -> Query:
    messages = [Message(role="user", content=name)]
    return Query(
        id=query_id(messages),
        category=category,
        source="s",
        license="mit",
        messages=messages,
        ground_truth=ground_truth,
        **more,
    )


QUERIES = [query(f"What is {n} and {n}?") for n in range(10, 20)]  # 19 characters, 7 tokens each


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one priced endpoint teacher, with three attempts at each of ten queries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, "journal")
    params = read_yaml(ROOT / "params.yaml")
    params["teacher_ids"] = params["compared_ids"] = ["hosted"]
    params["generate"] = {"max_attempts": 3}
    params["verify"]["judge"] = {"model": "judge", "math": "any_no", "science": "unread_only"}
    Path("params.yaml").write_text(json.dumps(params))
    write_table(Path("data/queries/curated"), Query, QUERIES)
    write_teacher("http://127.0.0.1:9/v1")
    greedy = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8}
    write_teacher("http://127.0.0.1:9/v1", "judge", sampling=greedy)
    return tmp_path


def write_teacher(url: str, name: str = "hosted", **more: object) -> None:
    teacher = {
        "label": "Hosted",
        "engine": "openai",
        "model": "hosted",
        "revision": "none",
        "license": "mit",
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 100},
        "price": {"prompt": 1.0e6, "completion": 2.0e6},
        **more,
    }
    runtime = {"endpoints": [url], "budget": {"cost": 50.0}}
    content = {"teacher": teacher, "perplexity_cut": None, "runtime": runtime}
    Path("conf/teachers").mkdir(parents=True, exist_ok=True)
    Path(f"conf/teachers/{name}.yaml").write_text(json.dumps(content))


async def answer(queries: list[Query], rejected: set[str]) -> None:
    """Run the loop over some queries; one rejected is asked again."""

    async def grade(asked: Query, response: object) -> Verdict:
        return Verdict(
            response_id="r",
            query_id=asked.id,
            state="fail" if asked.id in rejected else "pass",
            score=None,
            reason=None,
            verifier="double",
        )

    file, run = load_teacher("hosted"), load_run()
    with Journal.open() as journal:
        room = ModelRoom(journal)
        model = room.model("hosted", file.teacher, file.runtime, "teacher")
        loop = Loop("hosted", file.teacher, model, grade, run.generate, run_seed=run.run.seed)
        await loop.run(queries, lambda walk: None)
        await room.close()


def lines(*arguments: str) -> list[str]:
    result = CliRunner().invoke(main, ["plan", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.usefixtures("project")
def test_before_the_first_request_everything_is_still_to_come():
    assert lines() == [
        "hosted (Hosted): 10 queries, up to 3 attempts each",
        "  in the journal    0 answers: 0 prompt and 0 completion tokens, $0.00",
        "  requests to come  at least 10, at most 30",
        lines()[3],
        lines()[4],
        "  budget            $50.00 (conf/runtime.yaml)",
    ]
    assert lines()[3].endswith("prompt (estimated: 4 characters a token) and 3,000 completion")
    assert lines()[4].startswith("  cost at most      $6,")


@pytest.mark.usefixtures("project")
def test_what_is_in_the_journal_is_not_to_come_again():
    with ScriptedEndpoint(lambda body: completion("four words and done")) as endpoint:
        write_teacher(endpoint.url)
        # Two accepted at once, one rejected three times: five answers of 7 and 4 tokens.
        asyncio.run(answer(QUERIES[:3], {QUERIES[2].id}))
        asked = len(endpoint.requests)
        found = lines("hosted")
        assert len(endpoint.requests) == asked == 5
    assert found[1] == ("  in the journal    5 answers: 35 prompt and 20 completion tokens, $75.00")
    # Seven unasked, and two whose first answer may yet be rejected.
    assert found[2] == f"  requests to come  at least 7, at most {7 * 3 + 2 * 2}"
    assert found[4].endswith("answers so far had 4 completion tokens")


@pytest.mark.usefixtures("project")
def test_what_the_judge_is_asked_has_a_line_of_its_own():
    """One request an answer in maths, none where a rule decides, three for a free answer."""
    queries = [
        query("What is 1 and 1?", ground_truth="2"),
        query("Which letter? A. one B. two", "science", "B"),
        query("Why is the sky blue?", "science", "Air scatters short waves more than long ones."),
        query("How are you?", "other"),
    ]
    write_table(Path("data/queries/curated"), Query, sorted(queries, key=lambda one: one.id))
    before = lines()
    assert before[5].startswith(
        "  judge             0 answers in the journal, at most 15 to come: "
    )
    assert before[5].endswith(" prompt (estimated: 4 characters a token) and 120 completion")
    tokens = int(before[5].split(" to come: ")[1].split(" prompt")[0].replace(",", ""))
    # The answers in it may be as long as the teacher may make them.
    assert 15 * 100 < tokens < 15 * 500
    cost = f"                    cost at most ${tokens + 2 * 120:,.2f}"
    assert before[6] in (cost, f"                    cost at most ${tokens + 1 + 2 * 120:,.2f}")
    verify = load_run().verify

    async def judge(queries: list[Query]) -> None:
        file = load_teacher("judge")
        with Journal.open() as journal:
            room = ModelRoom(journal)
            model = room.model("judge", file.teacher, file.runtime, "judge")
            for one in queries:
                for request in judge_requests(verify, one, "four words and done"):
                    await model.complete(request)
            await room.close()

    with ScriptedEndpoint(lambda body: completion("four words and done")) as endpoint:
        write_teacher(endpoint.url)
        write_teacher(
            endpoint.url, "judge", sampling=load_teacher("judge").teacher.sampling.model_dump()
        )
        asyncio.run(answer(queries, set()))
        asyncio.run(judge(queries[2:]))
    after = lines()
    # Of the kept answers the one in maths is not judged; two further attempts at each may come.
    assert after[6].startswith("  judge             4 answers in the journal, at most 11 to come: ")
    # Four of 7 and 4 tokens are what 15 dollars each have paid for.
    assert after[7].endswith(f"; ${11 * 15:,.2f} with answers as long as so far")


@pytest.mark.usefixtures("project")
def test_another_temperature_is_another_question():
    with ScriptedEndpoint(lambda body: completion("4")) as endpoint:
        write_teacher(endpoint.url)
        asyncio.run(answer(QUERIES, set()))
        assert "at least 0" in lines()[2]
        write_teacher(endpoint.url, sampling={"temperature": 0.5, "top_p": 1.0, "max_tokens": 9})
        assert "at least 10" in lines()[2]


@pytest.mark.usefixtures("project")
def test_without_a_price_the_cost_is_unknown():
    write_teacher("http://127.0.0.1:9/v1", price=None)
    content = json.loads(Path("conf/teachers/hosted.yaml").read_text())
    del content["runtime"]["budget"]
    Path("conf/teachers/hosted.yaml").write_text(json.dumps(content))
    assert lines()[-1] == (
        "  cost at most      unknown: set teacher.price in conf/teachers/hosted.yaml (dollars per million tokens)"
    )


@pytest.mark.usefixtures("project")
def test_a_replay_costs_what_the_judge_is_asked_about_its_answers(tiny_model: Path):
    solved = Trace(think="Double it.", answer="It is 20.")
    queries = [
        query("What is 10 and 10?", ground_truth="20", solution=solved),
        query("Tell me a joke.", "other", solution=solved),
        query("How are you?", "other"),
    ]
    write_table(Path("data/queries/curated"), Query, sorted(queries, key=lambda one: one.id))
    tokenizer = {"model": f"path:{tiny_model}", "revision": "0" * 40}
    replay = {"engine": "replay", "replay": {"kind": "solutions"}, "tokenizer": tokenizer}
    write_teacher("http://h.invalid/v1", **replay, sampling=None, reasoning="think_tags")
    found = lines()
    assert found[1].startswith("  to be replayed    2 answers: ")
    # One question in maths and three about the joke; the query without an answer is nobody's to judge.
    assert found[2].startswith("  judge             0 answers in the journal, at most 4 to come: ")
    assert found[3].startswith("                    cost at most $")
    assert len(found) == 5  # the budget is the last


@pytest.mark.usefixtures("project")
def test_a_replay_from_the_hub_is_not_fetched_for_a_plan():
    replay = {"kind": "hub", "repo": "a/b", "revision": "a" * 40, "files": ["x.jsonl"]}
    tokenizer = {"model": "a/b", "revision": "a" * 40}
    write_teacher(
        "http://h.invalid/v1", engine="replay", replay=replay, tokenizer=tokenizer, sampling=None
    )
    assert lines() == [
        f"hosted: a replay of a/b@{'a' * 40}, which is fetched when it is run; "
        "no teacher is asked, but the judge about its answers"
    ]


@pytest.mark.usefixtures("project")
def test_a_plan_needs_no_api_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KEY_OF_THE_PLAN", raising=False)
    without = lines()
    for name in ("hosted", "judge"):
        path = Path(f"conf/teachers/{name}.yaml")
        file = read_yaml(path)
        file["runtime"]["api_key_variable"] = "KEY_OF_THE_PLAN"
        path.write_text(json.dumps(file))
    assert load_teacher("judge").runtime.api_key_variable == "KEY_OF_THE_PLAN"
    assert lines() == without


@pytest.mark.usefixtures("project")
def test_a_plan_without_queries_is_an_error():
    for path in Path("data/queries/curated").iterdir():
        path.unlink()
    result = CliRunner().invoke(main, ["plan"])
    assert result.exit_code == 2
    assert "run the stage that makes it" in result.stderr


@pytest.mark.usefixtures("project")
def test_a_plan_says_what_difference_the_design_finds_and_what_seeds_and_items_cost():
    params = read_yaml(Path("params.yaml"))
    params |= {"teacher_ids": ["hosted", "other"], "compared_ids": ["hosted", "other"]}
    params["training_seeds"] = [1, 2, 3]
    Path("params.yaml").write_text(json.dumps(params))
    write_teacher("http://127.0.0.1:9/v1", "other")
    tasks = params["benchmark"]["tasks"]
    items = sum(task["count"] for task in tasks)
    answers = sum(task["count"] * task["samples"] for task in tasks)
    designs = document("plan", "--seed-sd", "5")["design"]["designs"]
    (chosen,) = [one for one in designs if one["chosen"]]
    assert (chosen["seeds"], chosen["items"], chosen["trainings"]) == (3, items, 6)
    assert chosen["benchmark_answers"] == answers * (6 + 1)
    by = {(one["seeds"], one["items"]): one["detectable_points"] for one in designs}
    assert by[5, items] < by[3, items]
    assert by[3, 4 * items] < by[3, items]
    steady = document("plan", "--seed-sd", "0")["design"]["designs"]
    assert all(
        a["detectable_points"] <= b["detectable_points"]
        for a, b in zip(steady, designs, strict=True)
    )
    shown = CliRunner().invoke(main, ["plan"]).output
    assert "Detectable difference between two of 2 teachers (80 % power" in shown
    (row,) = [line.split() for line in shown.splitlines() if "<- this run" in line]
    assert row[:3] == ["3", f"{items:,}", "6"]
    assert "2 points between trainings (--seed-sd)" in shown


@pytest.mark.usefixtures("project")
def test_the_document_has_the_counts_of_the_lines():
    (found,) = document("plan")["teachers"]
    assert (found["teacher"], found["max_attempts"], found["replay"]) == ("hosted", 3, False)
    assert found["budget"] == {"tokens": None, "cost": 50.0}
    plan = found["plan"]
    assert (plan["queries"], plan["requests_at_least"], plan["requests_at_most"]) == (10, 10, 30)
    assert plan["in_journal"]["cost"] == 0
    assert plan["prompt_tokens_estimated"]
    assert plan["cost_at_most"] == plan["prompt_tokens_at_most"] + 2 * 30 * 100
    assert found["judge"]["teacher"] == "judge"
