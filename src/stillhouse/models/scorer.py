"""Measures the perplexity of responses under a scorer model with transformers, and stores it in the journal."""

import math
from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

from stillhouse.journal.journal import Journal, journal_key
from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.client import fingerprint_hash
from stillhouse.models.engine import EngineError
from stillhouse.models.key_names import scorer_facts
from stillhouse.models.weights import resolve
from stillhouse.params.filter import PerplexityScorer
from stillhouse.progress import quiet_libraries
from stillhouse.records import Message

BATCH_TOKENS = 4096  # padded tokens per forward pass; logits of 4,096 x 49,152 float32 take 0.8 GB
WINDOW = 4096  # texts in memory; texts of similar length among them are scored in one batch
DIGITS = 4  # decimal places of a perplexity; further digits depend on the order of summation


class Scored(NamedTuple):
    """The perplexity of one text, and the number of its scored tokens."""

    name: str
    perplexity: float
    tokens: int


class _Item(NamedTuple):
    name: str
    key: bytes
    prompt_ids: list[int]
    text_ids: list[int]


class Scorer:
    """Computes exp(mean negative log-likelihood in nats) of a response's tokens given its prompt.

    A text longer than `max_tokens` (prompt and response) is scored up to that length. `hits` and `asked` count as in
    `Model`.
    """

    def __init__(self, params: PerplexityScorer, journal: Journal) -> None:
        self._params = params
        self._journal = journal
        self._chat = ChatTokenizer(params.model, params.revision)
        self.hits = 0
        self.asked = 0
        self.fingerprint: dict[str, Any] = {
            "engine": f"transformers {version('transformers')}",
            "torch": version("torch"),
            **scorer_facts(params),
            **self._chat.fingerprint,
        }

    async def score(self, texts: Iterable[tuple[str, list[Message], str]]) -> AsyncIterator[Scored]:
        """Yield the score of each (name, prompt messages, response text), in no particular order.

        Raises:
            EngineError: a text has no perplexity, because it is empty or its prompt alone fills `max_tokens`.
        """
        waiting: list[_Item] = []
        for name, messages, response in texts:
            prompt, text = self._chat.render(messages), self._chat.as_data(response)
            key = journal_key({"fingerprint": self.fingerprint, "prompt": prompt, "text": text})
            kept = self._journal.get(key)
            if kept is not None:
                self.hits += 1
                perplexity, tokens = kept.decode().split()
                yield Scored(name, float(perplexity), int(tokens))
                continue
            item = _Item(name, key, self._chat.encode(prompt), self._chat.encode(text))
            if not item.text_ids or len(item.prompt_ids) >= self._params.max_tokens:
                raise EngineError(
                    f"response {name}: no token to score: its prompt has {len(item.prompt_ids)} tokens and its text "
                    f"{len(item.text_ids)}, perplexity.max_tokens is {self._params.max_tokens}; raise it"
                )
            waiting.append(item)
            if len(waiting) == WINDOW:
                async for scored in self._score(waiting):
                    yield scored
                waiting = []
        async for scored in self._score(waiting):
            yield scored

    async def _score(self, waiting: list[_Item]) -> AsyncIterator[Scored]:
        self.asked += len(waiting)
        for batch in _batches(waiting, self._params.max_tokens):
            for item, scored in zip(batch, self._forward(batch), strict=True):
                await self._journal.put(
                    item.key,
                    f"{scored.perplexity} {scored.tokens}".encode(),
                    purpose="scorer",
                    model=fingerprint_hash(self.fingerprint),
                )
                yield scored

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        quiet_libraries()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        path = resolve(self._params.model, self._params.revision)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, self._params.dtype))
        return model.to(device).eval()

    def _forward(self, batch: list[_Item]) -> list[Scored]:
        import torch

        rows = [(item.prompt_ids + item.text_ids)[: self._params.max_tokens] for item in batch]
        longest = max(len(row) for row in rows)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        device = self._model.device
        # The logits of prompts are not needed, and the output layer is a fifth of the work of a small model.
        first = min(len(item.prompt_ids) for item in batch) - 1
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                logits_to_keep=longest - first,
            ).logits
        scored = []
        for item, row, row_logits in zip(batch, rows, logits, strict=True):
            start = len(item.prompt_ids)
            target = torch.tensor(row[start:], device=device)
            log_probs = torch.log_softmax(
                row_logits[start - 1 - first : len(row) - 1 - first].float(), dim=-1
            )
            surprisal = -log_probs.gather(1, target[:, None]).double().mean().item()
            scored.append(Scored(item.name, round(math.exp(surprisal), DIGITS), len(target)))
        return scored


def _batches(items: list[_Item], max_tokens: int) -> list[list[_Item]]:
    """Batch items of similar length, to pad little. Sorting by length and name makes the batches deterministic."""
    ordered = sorted(items, key=lambda i: (len(i.prompt_ids) + len(i.text_ids), i.name))
    batches: list[list[_Item]] = []
    batch: list[_Item] = []
    for item in ordered:
        length = min(len(item.prompt_ids) + len(item.text_ids), max_tokens)
        if batch and length * (len(batch) + 1) > BATCH_TOKENS:
            batches.append(batch)
            batch = []
        batch.append(item)
    if batch:
        batches.append(batch)
    return batches
