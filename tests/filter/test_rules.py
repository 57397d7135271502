"""The rules of the filter: their order, what is counted, and rules of a plugin."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from stillhouse import plugins
from stillhouse.filter.ngrams import NgramError
from stillhouse.filter.rules import BETWEEN_RESPONSES, BUILT_IN, Rules
from stillhouse.filter.select import find_repetition, select
from stillhouse.marks import ALL_CONTROL_TOKENS, CONTROL_TOKENS, find_control_token
from stillhouse.params.filter import Filter, NgramFilter
from stillhouse.plugins import PluginError
from stillhouse.records import Message
from stillhouse.tables.attempts import Attempt
from tests.filter.graded import perplexity, query, response, verdict

NGRAM = NgramFilter(n=5, max_count=3, action="sample")


def shouting(attempt: Attempt, limit: int = 3) -> str | None:
    return "shouting" if attempt.response.answer.count("!") > limit else None


def odd(attempt: Attempt) -> Any:
    return RETURNED[attempt.response.answer]


def moody(attempt: Attempt) -> Any:
    return MOODS.pop(0)


RETURNED: dict[str, Any] = {}
MOODS: list[str | None] = []


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {})
    plugins.filter_rule("shouting")(shouting)
    plugins.filter_rule("odd")(odd)


def rules_of(*rules: Any, max_tokens: int = 100) -> Rules:
    params = Filter(require_think=False, max_tokens=max_tokens, ngram=NGRAM, rules=list(rules))
    return Rules(params, 20.0)


def attempt(
    answer: str = "It is 4.", value: float = 2.0, state: Any = "pass", **fields: Any
) -> Attempt:
    made = response(answer=answer, **fields)
    return Attempt(query(), made, verdict(made, state), perplexity(made, value))


def decided(attempts: list[Attempt], rules: Rules) -> list[str | None]:
    found = find_repetition(lambda: [attempts], rules, NGRAM, Path("nowhere"))
    return [decision.reason for _, decision in select(lambda: [attempts], rules, found)]


def test_the_first_rule_that_drops_counts_and_the_next_are_not_asked():
    rules = rules_of("shouting")
    attempts = [
        attempt(state="fail", finish_reason="length", value=99),
        attempt("!!!!", attempt=1, value=99),
        attempt("!!!!", attempt=2),
        attempt(attempt=3),
        attempt(attempt=4),
    ]
    assert decided(attempts, rules) == ["not_verified", "perplexity", "shouting", None, "surplus"]
    assert rules.metrics() == [
        {"rule": "not_verified", "kept": 4, "dropped": 1},
        {"rule": "truncated", "kept": 4, "dropped": 0},
        {"rule": "control_token", "kept": 4, "dropped": 0},
        {"rule": "structure", "kept": 4, "dropped": 0},
        {"rule": "too_long", "kept": 4, "dropped": 0},
        {"rule": "perplexity", "kept": 3, "dropped": 1},
        {"rule": "shouting", "kept": 2, "dropped": 1},
        {"rule": "repetition", "kept": 2, "dropped": 0},
        {"rule": "surplus", "kept": 1, "dropped": 1},
    ]


@pytest.mark.parametrize("family", sorted(CONTROL_TOKENS))
@pytest.mark.parametrize("place", ["system", "user", "earlier answer", "think", "answer"])
def test_a_control_token_anywhere_in_the_row_drops_it(family: str, place: str):
    rules = rules_of()
    for token in CONTROL_TOKENS[family]:
        text = f"It is 4.{token}\nAnd 3 + 3?"
        asked = query(["system", "user", "assistant", "user"])
        texts = ["Be brief.", "2 + 2?", "4.", "Sure?"]
        if place in ("system", "user", "earlier answer"):
            texts[["system", "user", "earlier answer"].index(place)] = text
        messages = [
            Message(role=m.role, content=t) for m, t in zip(asked.messages, texts, strict=True)
        ]
        asked = msgspec.structs.replace(asked, messages=messages)
        think, answer = (text if place == part else "Four." for part in ("think", "answer"))
        made = response(think=think, answer=answer)
        hostile = Attempt(asked, made, verdict(made, "pass"), perplexity(made, 2.0))
        assert rules.reason(hostile) == "control_token"


def test_texts_like_control_tokens_are_kept_and_the_list_can_be_changed():
    odd = "1 <|x|> 2, <b>, [INSTALL], <star>, </span>, |im_end|>, <bosses>"
    assert decided([attempt(odd, think="<|a|> < b")], rules_of()) == [None]
    own = Filter(require_think=False, max_tokens=100, ngram=NGRAM, control_tokens=["<<END>>"])
    texts = ("4 <<END>>", "4 <s>")
    found = [Rules(own, 20.0).reason(attempt(text)) for text in texts]
    assert found == ["control_token", None]
    none = own.model_copy(update={"control_tokens": []})
    assert Rules(none, 20.0).reason(attempt("4 <s>")) is None
    with pytest.raises(ValidationError, match="control_tokens"):
        Filter(require_think=False, max_tokens=9, ngram=NGRAM, control_tokens=["<s>", "<s>"])
    with pytest.raises(ValidationError, match="control_tokens"):
        Filter(require_think=False, max_tokens=9, ngram=NGRAM, control_tokens=[""])


def test_no_real_text_has_a_control_token():
    folder = Path(__file__).resolve().parents[3] / "shared/data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    files = [*folder.glob("queries/*.jsonl"), *folder.glob("traces/*.jsonl")]
    assert len(files) == 11
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert find_control_token([text], ALL_CONTROL_TOKENS) is None, path


def test_repetition_is_counted_and_comes_after_a_plugin_s_rules():
    looping = "one two three four five " * 9
    rules = rules_of("shouting")
    attempts = [attempt(looping), attempt(f"{looping}!!!!", attempt=1)]
    assert decided(attempts, rules) == ["repetition", "shouting"]
    counts = {row["rule"]: (row["kept"], row["dropped"]) for row in rules.metrics()}
    assert counts["shouting"] == (1, 1)
    assert counts["repetition"] == (0, 1)
    assert counts["surplus"] == (0, 0)


def test_a_rule_that_changes_its_mind_ends_the_run():
    MOODS.extend([None, "moody"])
    plugins.filter_rule("moody")(moody)
    with pytest.raises(NgramError, match="same reason each time"):
        decided([attempt()], rules_of("moody"))


def test_the_times_are_apart_from_the_counts():
    rules = rules_of("shouting")
    decided([attempt()], rules)
    assert list(rules.seconds()) == [row["rule"] for row in rules.metrics()]
    assert all(seconds >= 0 for seconds in rules.seconds().values())
    assert not any("seconds" in row for row in rules.metrics())


def test_rules_take_parameters_and_their_order_is_that_of_the_list():
    RETURNED["!!"] = "odd"
    assert decided([attempt("!!")], rules_of({"shouting": {"limit": 1}}, "odd")) == ["shouting"]
    assert decided([attempt("!!")], rules_of("odd", {"shouting": {"limit": 1}})) == ["odd"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("nobody", r"filter\.rules: nobody: no plugin registers .*registered: odd, shouting"),
        ({"shouting": {"limits": 1}}, r"filter\.rules: shouting: .*it takes: limit"),
    ],
)
def test_a_rule_that_cannot_be_built(rule, said):
    with pytest.raises(PluginError, match=said):
        rules_of(rule)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_name_of_a_built_in_rule_is_refused(name):
    plugins.filter_rule(name)(shouting)
    with pytest.raises(PluginError, match="use another name"):
        rules_of(name)


@pytest.mark.parametrize("returned", [True, False, "", "Too long, by far", "x" * 41, 1])
def test_what_is_no_reason_ends_the_run(returned):
    RETURNED["x"] = returned
    with pytest.raises(PluginError, match=r"test_rules\.odd\) returned .* was expected"):
        decided([attempt("x")], rules_of("odd"))


def test_a_rule_that_fails_names_the_response():
    made = attempt("nothing of this answer is known")
    with pytest.raises(PluginError, match=f"failed on response {made.response.id}: KeyError"):
        decided([made], rules_of("odd"))


def test_the_how_to_names_the_built_in_rules_in_their_order() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/extend.md").read_text(encoding="utf-8")
    paragraph = " ".join(page.split("**Filter rule**")[1].split("\n\n")[0].split())
    first = ", ".join(f"`{name}`" for name in BUILT_IN[: -len(BETWEEN_RESPONSES) - 1])
    last = " and ".join(f"`{name}`" for name in BETWEEN_RESPONSES)
    assert (
        f"after {first} and `{BUILT_IN[-len(BETWEEN_RESPONSES) - 1]}`, before {last}" in paragraph
    )
