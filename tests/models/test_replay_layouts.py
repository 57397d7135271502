"""The layouts of well-known published sets, each with its own setting: matched, split, and told where it is wrong."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stillhouse.generate.formats import FormatCheck, FormatError
from stillhouse.generate.reasoning import Parts, split
from stillhouse.models.engine import Completion, Request
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.params.base import ParamsError
from stillhouse.params.files import parse
from stillhouse.params.teacher import Teacher
from stillhouse.records import Message, Query, query_id

ASKED = "A crate holds 41 pears. 4 crates arrive and 14 pears are rotten. How many good pears are there?"
THINK, ANSWER = "41 times 4 is 164. Take away 14: 150.", "The answer is \\boxed{150}."
TAGGED = f"<think>\n{THINK}\n</think>\n\n{ANSWER}"
MARKED = (
    f"<|begin_of_thought|>\n\n{THINK}\n\n<|end_of_thought|>\n\n"
    f"<|begin_of_solution|>\n\n{ANSWER}\n\n<|end_of_solution|>"
)
BOX = "Return your final response within \\boxed{}. "
HEAD = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ndetailed thinking on<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n"
)
TAIL = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"


def chat(answer: Any, prompt: str = ASKED, names: tuple[str, str] = ("user", "assistant")) -> Any:
    return [{"from": names[0], "value": prompt}, {"from": names[1], "value": answer}]


def turns(last: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "developer", "content": "You are terse.", "thinking": None},
        {"role": "user", "content": ASKED, "thinking": None},
        {"role": "assistant", **last},
    ]


# name: one row, the parameters under `replay`, the format that fits, and one that does not
LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "AM-Thinking-v1-Distilled": (
        {
            "conversations": chat(
                f"<think>{THINK}</think><answer>{ANSWER}</answer>", names=("human", "assistant")
            )
        },
        {"columns": {"messages": "conversations"}},
        "answer_tags",
        "think_tags",
    ),
    "OpenThoughts3": (
        {"conversations": chat(TAGGED, names=("human", "gpt"))},
        {"columns": {"messages": "conversations"}},
        "think_tags",
        "none",
    ),
    "OpenThoughts-114k and Bespoke": (
        {"conversations": chat(MARKED, BOX + ASKED)},
        {"columns": {"messages": "conversations"}, "strip_prefixes": [BOX]},
        "thought_marks",
        "think_tags",
    ),
    "Sky-T1": (
        {"conversations": chat(MARKED)},
        {"columns": {"messages": "conversations"}},
        "thought_marks",
        "none",
    ),
    "OpenR1-Math-220k": (
        {
            "problem": ASKED,
            "generations": [TAGGED, f"<think>\n{THINK} wait"],
            "finish_reasons": ["stop", "length"],
        },
        {
            "columns": {
                "prompt": "problem",
                "text": "generations",
                "finish_reason": "finish_reasons",
            }
        },
        "think_tags",
        "answer_tags",
    ),
    "Llama-Nemotron v1": (
        {"input": HEAD + ASKED + TAIL, "output": TAGGED + "<|eot_id|>", "reasoning": "on"},
        {
            "columns": {"prompt": "input", "text": "output"},
            "where": {"reasoning": "on"},
            "strip_prefixes": [HEAD],
            "strip_suffixes": [TAIL],
        },
        "think_tags",
        "none",
    ),
    "Multilingual-Thinking": (
        {"messages": turns({"content": ANSWER, "thinking": THINK})},
        {"columns": {"messages": "messages"}},
        "separate_field",
        "harmony",
    ),
    "an endpoint's turns": (
        {"messages": turns({"content": ANSWER, "reasoning_content": THINK})},
        {},
        "separate_field",
        "think_tags",
    ),
    "Magistral's contents": (
        {
            "messages": turns(
                {
                    "content": [
                        {"type": "thinking", "thinking": [{"type": "text", "text": THINK}]},
                        {"type": "text", "text": ANSWER},
                    ]
                }
            )
        },
        {},
        "separate_field",
        "bracket_think",
    ),
    "Multilingual-Thinking by columns": (
        {"user": ASKED, "final": ANSWER, "analysis": THINK},
        {"columns": {"prompt": "user", "text": "final", "reasoning": "analysis"}},
        "separate_field",
        "separate_field",
    ),
    "text of gpt-oss": (
        {
            "prompt": ASKED,
            "completion": f"<|channel|>analysis<|message|>{THINK}<|end|><|start|>assistant"
            f"<|channel|>final<|message|>{ANSWER}<|return|>",
        },
        {"columns": {"prompt": "prompt", "text": "completion"}},
        "harmony",
        "think_tags",
    ),
}


class WordTokenizerDouble:
    """Stands in for a ChatTokenizer; a token is a word."""

    fingerprint = {"tokenizer_sha256": "words"}  # noqa: RUF012

    def render(self, messages: list[Message], system_prompt: str | None = None) -> str:
        return " ".join(message.content for message in messages)

    def encode(self, text: str) -> list[str]:
        return text.split()


def completions(row: dict[str, Any], replay: dict[str, Any]) -> list[Completion]:
    Path("inputs/rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    spec = teacher("separate_field", replay)
    messages = [Message(role="user", content=ASKED)]
    query = Query(
        id=query_id(messages), category="math", source="own", license="mit", messages=messages
    )
    tokenizer: Any = WordTokenizerDouble()
    assert spec.replay is not None
    engine = ReplayEngine("old", tokenizer, spec.replay, lambda: [query])
    count = len(row["generations"]) if "generations" in row else 1
    requests = [
        Request(messages=messages, seed=1, query_id=query.id, attempt=n) for n in range(count)
    ]
    return [asyncio.run(engine.complete(request)) for request in requests]


def teacher(reasoning: str, replay: dict[str, Any]) -> Teacher:
    content = {
        "label": "old",
        "engine": "replay",
        "model": "old",
        "revision": "none",
        "license": "mit",
        "reasoning": reasoning,
        "replay": {"kind": "file", "path": "inputs/rows.jsonl", **replay},
        "tokenizer": {"model": "m", "revision": "a" * 40},
    }
    return parse(Teacher, content, "conf/teachers/old.yaml")


@pytest.fixture(autouse=True)
def _project(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_CACHE", str(inputs.parent.resolve() / "cache"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_layout_is_read_and_split(layout: str):
    row, replay, fits, _ = LAYOUTS[layout]
    found = completions(row, replay)
    assert split(found[0], teacher(fits, replay).reasoning) == Parts(THINK, ANSWER)
    check = FormatCheck("old", teacher(fits, replay).reasoning)
    for completion in found:
        check.add(completion)
    check.require_fitting()
    assert [one.finish_reason for one in found[1:]] == ["length"] * len(found[1:])


@pytest.mark.parametrize(
    "layout", [n for n, (_, _, fits, wrong) in LAYOUTS.items() if fits != wrong]
)
def test_another_setting_is_told_and_the_fitting_one_is_named(layout: str):
    row, replay, fits, wrong = LAYOUTS[layout]
    check = FormatCheck("old", teacher(wrong, replay).reasoning)
    for completion in completions(row, replay):
        check.add(completion)
    with pytest.raises(FormatError, match=f"under `teacher`:\n  reasoning: {fits}\n"):
        check.require_fitting()


@pytest.mark.parametrize("reasoning", ["none", "think_tags"])
def test_a_mapped_reasoning_that_no_format_reads_is_a_fault_of_the_parameters(reasoning: str):
    replay = {"columns": {"prompt": "user", "text": "final", "reasoning": "analysis"}}
    with pytest.raises(ParamsError, match="only `reasoning: separate_field` reads"):
        teacher(reasoning, replay)
    assert teacher("separate_field", replay).reasoning == "separate_field"
