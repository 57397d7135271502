"""The generate stage killed at random moments, interrupted, and out of budget: what is lost, what is asked again."""

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stillhouse.files import read_json
from stillhouse.generate.formats import SAMPLE
from stillhouse.generate.loop import ASKED_PER_SLOT, request_seed
from stillhouse.records import Message, Query, Response, query_id
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.doubles.scripted_endpoint import Reply, ScriptedEndpoint, completion

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("generate_worker.py")
QUERIES = 60
ATTEMPTS = 3
IN_FLIGHT = 4
RUN_SEED = 11
PAGE = 4096  # bytes, SQLite's
SECONDS = 120  # after which a test that waits for a process has failed; starting one takes a few


def made_query(number: int) -> Query:
    messages = [Message(role="user", content=f"Question {number}: which number is meant?")]
    return Query(
        id=query_id(messages),
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=messages,
        ground_truth=str(100 + number),
    )


def attempts_needed(number: int) -> int:
    """Every fourth query is never answered right."""
    return number % (ATTEMPTS + 1) + 1


class ScriptedTeacher:
    """Answers by query and attempt, and tells when so many requests have come."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, int]] = Counter()
        self.reached = threading.Event()
        self.hold: threading.Event | None = None
        self._after = -1
        self._lock = threading.Lock()

    def tell_after(self, more: int) -> None:
        self.reached.clear()
        self._after = self.asked.total() + more

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] == "judge":
            return completion("no")
        match = re.search(r"Question (\d+):", body["messages"][-1]["content"])
        assert match
        number = int(match.group(1))
        asked = made_query(number)
        seeds = [request_seed(asked.id, "alpha", n, RUN_SEED) for n in range(ATTEMPTS)]
        attempt = seeds.index(body["seed"])
        with self._lock:
            self.asked[number, attempt] += 1
            if self.asked.total() == self._after:
                self.reached.set()
        if self.hold is not None:
            self.hold.wait(SECONDS)
        right = attempt + 1 == attempts_needed(number)
        return completion(f"The answer is {asked.ground_truth if right else 7 + attempt}.")


class Project:
    """A folder in which the generate stage of one teacher can run."""

    def __init__(self, folder: Path, endpoint: ScriptedEndpoint, **runtime: Any) -> None:
        self.folder = folder
        write_table(folder / "data/queries/curated", Query, map(made_query, range(QUERIES)))
        teacher: dict[str, Any] = {
            "label": "alpha",
            "engine": "openai",
            "model": "alpha",
            "revision": "0" * 40,
            "license": "mit",
            "sampling": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 64},
        }
        code = {
            "isolation": "rlimits",
            "max_tests": 1,
            "test_seconds": 1.0,
            "total_seconds": 1.0,
            "memory_mb": 256,
        }
        verify = {
            "threshold": 0.9,
            "judge": {"model": "judge", "math": "any_no", "science": "any_no"},
            "item_cpu_seconds": 60.0,
            "code": code,
        }
        tracked: dict[str, Any] = {
            "run": {"name": "faults", "seed": RUN_SEED},
            "generate": {"max_attempts": ATTEMPTS},
            "verify": verify,
        }
        (folder / "conf/teachers").mkdir(parents=True)
        greedy = {**teacher["sampling"], "temperature": 0.0}
        for name, spec in (
            ("alpha", teacher),
            ("judge", teacher | {"model": "judge", "sampling": greedy}),
        ):
            tracked[f"conf/teachers/{name}.yaml:teacher"] = spec
            self.write_teacher(name, spec, endpoint, runtime)
        (folder / "tracked.json").write_text(json.dumps(tracked))

    def write_teacher(
        self,
        name: str,
        teacher: dict[str, Any],
        endpoint: ScriptedEndpoint,
        runtime: dict[str, Any],
    ) -> None:
        where = {"endpoints": [endpoint.url], "in_flight_per_endpoint": IN_FLIGHT, **runtime}
        content = {"teacher": teacher, "perplexity_cut": None, "runtime": where}
        path = self.folder / f"conf/teachers/{name}.yaml"
        path.write_text(json.dumps(content))  # JSON is YAML

    def start(self, largest_file: int | None = None) -> "subprocess.Popen[str]":
        """Start the stage; `largest_file` (bytes) stands for a disk that is full at some moment."""

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))

        environment = {
            **os.environ,
            "STILLHOUSE_JOURNAL": "journal",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.Popen(
            [sys.executable, WORKER],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit,
        )

    def finish(self) -> str:
        """Run to the end and return what was printed."""
        process = self.start()
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, out + errors
        return out + errors

    def digests(self) -> dict[str, str]:
        """Return the sha256 of everything the stage wrote but the effort, which differs by design."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for top in ("data/responses", "metrics/generate")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    with ScriptedEndpoint(ScriptedTeacher()) as endpoint:
        project = Project(tmp_path_factory.mktemp("undisturbed"), endpoint)
        project.finish()
    return project


def test_every_query_is_answered_as_the_rules_say(undisturbed: Project):
    rows = read_table(undisturbed.folder / "data/responses/alpha/attempts", Response)
    found = Counter(row.query_id for row in rows)
    wanted = {made_query(n).id: min(attempts_needed(n), ATTEMPTS) for n in range(QUERIES)}
    assert found == wanted
    metrics = read_json(undisturbed.folder / "metrics/generate/alpha.json")
    assert metrics["queries"] == QUERIES
    assert metrics["accepted"] == QUERIES * 3 // 4
    assert metrics["queries_by_attempts"] == {"1": 15, "2": 15, "3": 30}
    assert metrics["queries_by_stop"] == {"accepted": 45, "max_attempts": 15}
    assert metrics["by_attempt"]["1"] == {
        "asked": 45,
        "accepted": 15,
        "truncated": 0,
        "pass_rate": 0.3333,
    }
    # The judge, a prompt of 7 tokens and an answer of one, is asked about each answer that the rule does not accept.
    rejected = sum(wanted.values()) - QUERIES * 3 // 4
    assert metrics["judge"] == {
        "requests": rejected,
        "prompt_tokens": 7 * rejected,
        "completion_tokens": rejected,
        "cost": None,
    }
    effort = read_json(undisturbed.folder / "metrics/effort/alpha.json")
    assert (effort["asked"], effort["journal_hits"]) == (sum(wanted.values()), 0)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_nothing_is_lost_and_little_asked_again(
    tmp_path: Path, undisturbed: Project, kills: int
):
    teacher = ScriptedTeacher()
    draw = random.Random(kills)
    with ScriptedEndpoint(teacher) as endpoint:
        project = Project(tmp_path, endpoint)
        for _ in range(kills):
            teacher.tell_after(draw.randint(1, 120 // kills))
            process = project.start()
            assert teacher.reached.wait(SECONDS)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert not (tmp_path / "data/responses/alpha/attempts").exists()
        project.finish()
    assert project.digests() == undisturbed.digests()
    assert len(teacher.asked) == 15 + 2 * 15 + 3 * 30  # every answer was asked for
    again = sum(times - 1 for times in teacher.asked.values())
    assert again <= kills * IN_FLIGHT * ASKED_PER_SLOT
    hits = read_json(tmp_path / "metrics/effort/alpha.json")["journal_hits"]
    assert hits >= kills  # the kills came in the middle of the work


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_run_ends_in_seconds_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: Project, number: signal.Signals, code: int
):
    teacher = ScriptedTeacher()
    with ScriptedEndpoint(teacher) as endpoint:
        project = Project(tmp_path, endpoint)
        teacher.tell_after(20)
        process = project.start()
        assert teacher.reached.wait(SECONDS)
        teacher.hold = threading.Event()  # what is in flight now will never be answered
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in errors) == (code, False), errors
        assert "every answer so far is in the journal, run the same command to go on" in errors
        assert list((tmp_path / "data/responses/alpha").glob("*")) == []  # nothing half-written
        teacher.hold.set()
        teacher.hold = None
        project.finish()
    assert project.digests() == undisturbed.digests()


def test_a_run_beyond_its_budget_ends_with_what_to_do_and_goes_on_when_it_is_raised(
    tmp_path: Path, undisturbed: Project
):
    teacher = ScriptedTeacher()
    with ScriptedEndpoint(teacher) as endpoint:
        project = Project(tmp_path, endpoint, budget={"tokens": 300})
        process = project.start()
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 2
        assert re.search(
            r"teacher alpha: its budget in conf/runtime.yaml is used up: [34]\d\d tokens", errors
        )
        asked = teacher.asked.total()
        assert asked < 60
        raised = json.loads((tmp_path / "conf/teachers/alpha.yaml").read_text())
        raised["runtime"]["budget"] = {"tokens": 1_000_000}
        (tmp_path / "conf/teachers/alpha.yaml").write_text(json.dumps(raised))
        project.finish()
    assert set(teacher.asked.values()) == {
        1
    }  # what was in flight when the budget ended was waited for
    assert project.digests() == undisturbed.digests()


class JudgeAwayTeacher(ScriptedTeacher):
    """Answers as ever, while the judge cannot be asked."""

    away = True

    def reply(self, body: dict[str, Any]) -> Reply:
        return 401 if self.away and body["model"] == "judge" else self(body)


def test_reasoning_that_nobody_reads_ends_the_run_early_and_is_there_with_the_right_setting(
    tmp_path: Path, undisturbed: Project
):
    teacher = ScriptedTeacher()

    def thinking(body: dict[str, Any]) -> dict[str, Any]:
        reply = teacher(body)
        reply["choices"][0]["message"]["reasoning_content"] = "Let me see."
        return reply

    with ScriptedEndpoint(thinking) as endpoint:
        project = Project(tmp_path, endpoint)
        process = project.start()
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 2
        assert "conf/teachers/alpha.yaml, under `teacher`:\n  reasoning: separate_field\n" in errors
        assert "Traceback" not in out + errors
        asked = teacher.asked.total()
        assert SAMPLE <= asked <= SAMPLE + 2 * IN_FLIGHT * ASKED_PER_SLOT
        assert not list((tmp_path / "data/responses/alpha").glob("attempts/*.parquet"))

        tracked = json.loads((tmp_path / "tracked.json").read_text())
        tracked["conf/teachers/alpha.yaml:teacher"]["reasoning"] = "separate_field"
        (tmp_path / "tracked.json").write_text(json.dumps(tracked))
        project.finish()
    rows = list(read_table(tmp_path / "data/responses/alpha/attempts", Response))
    assert [row.answer for row in rows] == [
        row.answer
        for row in read_table(undisturbed.folder / "data/responses/alpha/attempts", Response)
    ]
    assert {row.think for row in rows} == {"Let me see."}
    # The answers that the first run paid for came from the journal: the format is in no key.
    assert read_json(tmp_path / "metrics/effort/alpha.json")["journal_hits"] >= SAMPLE
    assert teacher.asked.total() - len(rows) <= asked - SAMPLE


def test_a_judge_that_cannot_be_asked_costs_no_answer_and_is_told_at_the_end(
    tmp_path: Path, undisturbed: Project
):
    teacher = JudgeAwayTeacher()
    with ScriptedEndpoint(teacher.reply) as endpoint:
        project = Project(tmp_path, endpoint)
        process = project.start()
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 2, out + errors
        # 15 queries are accepted at their first answer by the rule; the others wait for the judge, and ask nothing.
        assert (
            "45 answers could not be graded, also without other load (45 judge_unavailable)"
            in errors
        )
        assert re.search(
            r"The first one: query [0-9a-f]+: judge_unavailable: .*scripted status 401", errors
        )
        assert "run the same command again, and only these are graded" in errors
        assert sorted(teacher.asked) == [(number, 0) for number in range(QUERIES)]
        assert not (tmp_path / "data/responses/alpha/attempts").exists()
        teacher.away = False
        project.finish()
    assert set(teacher.asked.values()) == {1}
    assert project.digests() == undisturbed.digests()


class FaultyTeacher(ScriptedTeacher):
    """Answers right, but for one in four requests, each time by another fault."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.faults = 0

    def reply(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.count += 1
            fault = self.count % 4 == 0
            self.faults += fault
            kind = self.faults % 6
        if not fault:
            return self(body)
        replies: list[Reply] = [
            (429, {"Retry-After": "0.05"}, b""),
            500,
            503,
            b'<html>"busy',
            json.dumps(completion("half")).encode()[:40],
            b"",
        ]
        return replies[kind]


def test_an_endpoint_of_many_faults_changes_no_byte(tmp_path: Path, undisturbed: Project):
    teacher = FaultyTeacher()
    with ScriptedEndpoint(teacher.reply) as endpoint:
        project = Project(tmp_path, endpoint)
        project.finish()
    assert teacher.faults > 40
    assert set(teacher.asked.values()) == {1}  # what was answered was not asked for again
    assert project.digests() == undisturbed.digests()


def test_an_endpoint_that_cannot_be_reached_is_named_in_the_log(tmp_path: Path) -> None:
    with ScriptedEndpoint(ScriptedTeacher()) as gone:
        project = Project(tmp_path, gone)
    process = project.start()
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith("model "))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert line.startswith(f"model alpha: {gone.url}: cannot be reached: ")
    assert process.returncode == 130


class PoisonedTeacher(ScriptedTeacher):
    """Answers as ever, but for one query whose prompt breaks the server, and one whose answers are withheld."""

    BREAKS, WITHHELD = 4, 8  # both would be answered right at the first attempt

    def reply(self, body: dict[str, Any]) -> Reply:
        asked = body["messages"][-1]["content"]
        if body["model"] == "alpha" and f"Question {self.BREAKS}:" in asked:
            return (500, {}, b'{"error": {"message": "grammar of this prompt"}}')
        reply = self(body)
        if body["model"] == "alpha" and f"Question {self.WITHHELD}:" in asked:
            reply["choices"][0]["finish_reason"] = "content_filter"
        return reply


def test_one_query_that_breaks_the_server_is_named_and_the_others_are_answered(
    tmp_path: Path,
) -> None:
    with ScriptedEndpoint(PoisonedTeacher().reply) as endpoint:
        project = Project(tmp_path, endpoint)
        told = project.finish()
    broken = made_query(PoisonedTeacher.BREAKS).id
    withheld = made_query(PoisonedTeacher.WITHHELD).id
    assert f"query {broken} has no answer: " in told
    lines = (tmp_path / "data/responses/alpha/unanswered.jsonl").read_text().splitlines()
    (line,) = map(json.loads, lines)
    assert (line["query_id"], line["reason"]) == (broken, "HTTP 500")
    assert "grammar of this prompt" in line["error"]
    rows = read_table(tmp_path / "data/responses/alpha/attempts", Response)
    found = [row for row in rows if row.query_id in (broken, withheld)]
    assert [(row.query_id, row.finish_reason) for row in found] == [
        (withheld, "content_filter")
    ] * ATTEMPTS
    metrics = read_json(tmp_path / "metrics/generate/alpha.json")
    assert metrics["queries_by_stop"] == {"accepted": 43, "failed": 1, "max_attempts": 16}
    assert metrics["errors_by_reason"] == {"HTTP 500": 1}
    assert metrics["attempts_by_finish"]["content_filter"] == ATTEMPTS
    assert read_json(tmp_path / "metrics/effort/alpha.json")["failed_tries"] == {"HTTP 500": 8}


def test_too_many_queries_without_an_answer_end_the_run_with_the_providers_words(
    tmp_path: Path, undisturbed: Project
) -> None:
    teacher = PoisonedTeacher()
    teacher.WITHHELD = -1
    with ScriptedEndpoint(teacher.reply) as endpoint:
        project = Project(tmp_path, endpoint, max_unanswered=0.0)
        process = project.start()
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 2
        assert "Traceback" not in errors
        assert re.search(
            r"1 queries have no answer, more than `max_unanswered`.*grammar of this", errors
        )
        teacher.BREAKS = -1
        project.finish()
    assert project.digests() == undisturbed.digests()


def test_broken_pages_of_the_journal_are_told_and_only_what_they_held_is_asked_again(
    tmp_path: Path, undisturbed: Project
):
    teacher = ScriptedTeacher()
    with ScriptedEndpoint(teacher) as endpoint:
        project = Project(tmp_path, endpoint)
        project.finish()
        answers = len(teacher.asked)
        journal = tmp_path / "journal/answers.sqlite"
        pages = journal.stat().st_size // PAGE
        with journal.open("r+b") as file:
            # Not the first three: without the root of the index no look-up finds anything in the file.
            for number in random.Random(0).sample(range(3, pages), 3):
                file.seek(number * PAGE)
                file.write(b"\xff" * PAGE)
        shutil.rmtree(tmp_path / "data/responses")  # as DVC does before a stage runs again
        told = project.finish()
    assert "is damaged and was set aside as damaged-" in told
    assert "asked for again" in told
    again = teacher.asked.total() - answers
    assert 0 < again < answers
    assert project.digests() == undisturbed.digests()


def test_a_full_disk_is_one_message_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, undisturbed: Project
):
    teacher = ScriptedTeacher()
    with ScriptedEndpoint(teacher) as endpoint:
        project = Project(tmp_path, endpoint)
        process = project.start(largest_file=100_000)
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 2, out + errors
        assert "Traceback" not in errors
        assert re.search(r"cannot store \d+ answers: .*free disk space", errors)
        project.finish()
    kept = read_json(tmp_path / "metrics/effort/alpha.json")["journal_hits"]
    assert kept > 10
    assert project.digests() == undisturbed.digests()
