import asyncio
import math
from pathlib import Path

import pytest

from stillhouse.journal.journal import Journal
from stillhouse.models import scorer as scorer_module
from stillhouse.models.engine import EngineError
from stillhouse.models.scorer import Scored, Scorer
from stillhouse.params.filter import PerplexityScorer
from stillhouse.records import Message

MAX_TOKENS = 200
TEXTS = [
    (name, [Message(role="user", content=prompt)], text)
    for name, prompt, text in (
        ("short", "What is 1 + 1?", "2"),
        ("words", "What is the answer?", "The answer is 4."),
        ("think", "What?", "<think>\nIs the answer 4?\n</think>\n\nThe answer is 4."),
        ("accents", "Où?", "là-bas, près de l'école"),
        ("long", "What is 2 + 2?", "The answer is 4, not 5. " * 20),
        ("twin", "What is 1 + 1?", "2"),
    )
]


@pytest.fixture
def params(tiny_model: Path) -> PerplexityScorer:
    return PerplexityScorer(
        model=f"path:{tiny_model}", revision="0" * 40, dtype="float32", max_tokens=MAX_TOKENS
    )


def score(scorer: Scorer, texts: list) -> dict[str, Scored]:
    async def run() -> dict[str, Scored]:
        return {scored.name: scored async for scored in scorer.score(texts)}

    return asyncio.run(run())


def naive(folder: Path, messages: list[Message], text: str) -> tuple[float, int]:
    """Perplexity of one text by itself, token by token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    turns = [{"role": m.role, "content": m.content} for m in messages]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    start = len(tokenizer.encode(prompt, add_special_tokens=False))
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    ids = (ids + tokenizer.encode(text, add_special_tokens=False))[:MAX_TOKENS]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    surprisals = [
        float(torch.logsumexp(logits[i - 1], dim=0) - logits[i - 1, ids[i]])
        for i in range(start, len(ids))
    ]
    return math.exp(math.fsum(surprisals) / len(surprisals)), len(surprisals)


@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_a_score_is_that_of_the_text_alone_whatever_the_batch(
    params: PerplexityScorer,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_tokens: int,
):
    monkeypatch.setattr(scorer_module, "BATCH_TOKENS", batch_tokens)
    with Journal.open(tmp_path) as journal:
        scores = score(Scorer(params, journal), TEXTS)
    assert set(scores) == {name for name, _, _ in TEXTS}
    for name, messages, text in TEXTS:
        perplexity, tokens = naive(tiny_model, messages, text)
        assert scores[name].perplexity == pytest.approx(perplexity, rel=1e-5, abs=1e-4)
        assert scores[name].tokens == tokens


def test_the_order_of_the_texts_has_no_influence(params: PerplexityScorer, tmp_path: Path):
    with Journal.open(tmp_path / "one") as journal:
        forward = score(Scorer(params, journal), TEXTS)
    with Journal.open(tmp_path / "other") as journal:
        assert score(Scorer(params, journal), TEXTS[::-1]) == forward


def test_a_second_run_comes_from_the_journal(params: PerplexityScorer, tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        first = Scorer(params, journal)
        half = score(first, TEXTS[:3])
        assert (first.hits, first.asked) == (0, 3)
        second = Scorer(params, journal)
        whole = score(second, TEXTS)
        assert (second.hits, second.asked) == (4, 2)  # the twin asks what was asked before
        assert half.items() <= whole.items()
        third = Scorer(params, journal)
        third.__dict__["_model"] = None  # a forward pass would fail
        assert score(third, TEXTS) == whole
        assert (third.hits, third.asked) == (len(TEXTS), 0)
        assert [g["purpose"] for g in journal.stats()["groups"]] == ["scorer"]


def test_the_settings_are_part_of_the_journal_key(params: PerplexityScorer, tmp_path: Path):
    with Journal.open(tmp_path) as journal:
        long = [text for text in TEXTS if text[0] == "long"]
        whole = score(Scorer(params, journal), long)["long"]
        shorter = Scorer(params.model_copy(update={"max_tokens": MAX_TOKENS - 30}), journal)
        assert score(shorter, long)["long"].tokens == whole.tokens - 30
        assert (shorter.hits, shorter.asked) == (0, 1)


@pytest.mark.parametrize(("prompt", "text"), [("What is it? " * 50, "4"), ("What?", "")])
def test_a_text_without_a_token_to_score_is_named(
    params: PerplexityScorer, tmp_path: Path, prompt: str, text: str
):
    texts = [*TEXTS, ("bare", [Message(role="user", content=prompt)], text)]
    with Journal.open(tmp_path) as journal:
        with pytest.raises(EngineError, match=r"response bare: no token to score.*max_tokens"):
            score(Scorer(params, journal), texts)
        assert journal.stats()["answers"] == 0
