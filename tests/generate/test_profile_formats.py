"""The teachers of the profiles, as their own files say: scripted completions in each family's format, from an endpoint
through split and loop to the rules of the filter.

The models cannot run here. What each of them writes is from its model card (tools/rehearse/families.py): AM-Thinking
has both pairs of tags, DeepSeek-R1's template opens the block in the prompt, the others write both think tags.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from stillhouse.filter.rules import Rules
from stillhouse.generate.formats import FormatCheck, FormatError
from stillhouse.generate.loop import Loop, Walk
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.openai_engine import OpenAIEngine
from stillhouse.params.load import load_run, load_teacher
from stillhouse.params.teacher import TeacherFile, TeacherRuntime, marks_of
from stillhouse.records import CATEGORIES, Query, Response, Verdict
from stillhouse.tables.attempts import Attempt
from tests.doubles.scripted_endpoint import ScriptedEndpoint, completion
from tests.filter.graded import perplexity
from tools.rehearse.families import family_of
from tools.rehearse.scripted import EACH, FAULTS, completion_of, parts_of, scripted_queries

TEACHERS = [
    (profile, teacher)
    for profile in ("paper", "single_gpu")
    for teacher in load_run(Path("profiles") / profile).teacher_ids
]


class ScriptedModel:
    """Writes as one family does; the first answer to some questions has a fault."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._seeds: dict[str, list[int]] = {}

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["messages"][-1]["content"]
        number = re.search(r"\d+", asked).group()
        seeds = self._seeds.setdefault(asked, [])
        seeds.append(body["seed"])
        fault = FAULTS[int(number) % len(FAULTS)] if len(seeds) == 1 else "clean"
        return completion(completion_of(self._written, int(number), fault))


async def grade(asked: Query, response: Response) -> Verdict:
    right = response.answer == f"The answer is {asked.ground_truth}."
    return Verdict(
        response_id=response.id,
        query_id=asked.id,
        state="pass" if right else "fail",
        score=float(right),
        reason=None if right else "wrong_answer",
        verifier="double",
    )


def run(name: str, file: TeacherFile, endpoint: ScriptedEndpoint, folder: Path) -> list[Walk]:
    spec = file.teacher
    assert spec.sampling is not None
    runtime = TeacherRuntime(endpoints=[endpoint.url], in_flight_per_endpoint=8)
    engine = OpenAIEngine(
        spec.model, spec.revision, spec.sampling, runtime, system_prompt=spec.system_prompt
    )
    walks: list[Walk] = []
    rules = load_run(Path("profiles/paper")).generate

    async def walk_all(journal: Journal) -> None:
        model = Model(engine, journal, "teacher", name)
        check = FormatCheck(name, spec.reasoning)
        loop = Loop(name, spec, model, grade, rules, run_seed=1, format_check=check)
        try:
            await loop.run(scripted_queries(), walks.append)
        finally:
            await engine.close()

    with Journal.open(folder) as journal:
        asyncio.run(walk_all(journal))
    return walks


@pytest.mark.parametrize(("profile", "teacher"), TEACHERS)
def test_a_dozen_queries_of_each_category_reach_the_filter(
    profile: str, teacher: str, tmp_path: Path
):
    root = Path("profiles") / profile
    file = load_teacher(teacher, root)
    with ScriptedEndpoint(ScriptedModel(family_of(file.teacher.model).written)) as endpoint:
        walks = run(teacher, file, endpoint, tmp_path)
    assert len(walks) == EACH * len(CATEGORIES)
    rules = Rules(load_run(root).filter, file.perplexity_cut, marks_of(file.teacher.reasoning))
    for walk in walks:
        number = int(walk.query.ground_truth or "")
        fault = FAULTS[number % len(FAULTS)]
        assert walk.accepted
        assert len(walk.attempts) == (1 if fault == "clean" else 2)
        first, last = walk.responses[0], walk.responses[-1]
        assert (last.think, last.answer) == parts_of(number)
        if fault in ("unfinished", "second block"):
            assert first.answer == ""
        verdict = asyncio.run(grade(walk.query, last))
        assert rules.reason(Attempt(walk.query, last, verdict, perplexity(last))) is None


@pytest.mark.parametrize(("profile", "teacher"), TEACHERS)
def test_a_server_with_a_reasoning_parser_is_told_before_the_rest_is_paid(
    profile: str, teacher: str, tmp_path: Path
):
    file = load_teacher(teacher, Path("profiles") / profile)

    def parsed(body: dict[str, Any]) -> dict[str, Any]:
        return completion("The answer is 4.", reasoning="I know it.")

    with (
        ScriptedEndpoint(parsed) as endpoint,
        pytest.raises(FormatError, match="\n  reasoning: separate_field\n"),
    ):
        run(teacher, file, endpoint, tmp_path)
    assert len(endpoint.requests) < EACH * len(CATEGORIES)
