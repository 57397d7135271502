"""Embeddings of texts, which propose benchmark items that a query may rephrase; they decide nothing.

The model is any encoder of transformers that is published for sentence embeddings, such as BAAI/bge-m3. No code from a
model's repository is run.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import StillhouseError
from stillhouse.models.weights import resolve
from stillhouse.params.queries import Embedding

BATCH_TOKENS = 16_384  # of a forward pass, padding included
BLOCK = 2048  # texts that are cut into tokens at once, and sorted by length
MOST_ITEMS = 8  # that are proposed for one text

Vectors = NDArray[np.float32]


class EmbeddingError(StillhouseError):
    """The model of embeddings cannot be loaded."""


class Embedder:
    """Computes unit vectors of texts: the output at the first token, or the mean over all tokens, by `pooling`.

    A text longer than `max_tokens` is cut.
    """

    def __init__(self, params: Embedding) -> None:
        self._params = params

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text."""
        blocks = [self._block(texts[i : i + BLOCK]) for i in range(0, len(texts), BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.float32)

    def _block(self, texts: Sequence[str]) -> Vectors:
        import torch

        tokenizer, model = self._loaded
        ids = tokenizer(list(texts), truncation=True, max_length=self._params.max_tokens)[
            "input_ids"
        ]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        found: list[Any] = [None] * len(texts)
        for part in _batches(order, [len(one) for one in ids]):
            batch = tokenizer.pad({"input_ids": [ids[i] for i in part]}, return_tensors="pt")
            batch = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                states = model(**batch).last_hidden_state.float()
            if self._params.pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = batch["attention_mask"][..., None]
                pooled = (states * mask).sum(1) / mask.sum(1)
            unit = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
            for i, vector in zip(part, unit, strict=True):
                found[i] = vector
        return np.stack(found).astype(np.float32)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        path = resolve(self._params.model, self._params.revision)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model = AutoModel.from_pretrained(
                path, dtype=getattr(torch, self._params.dtype), trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise EmbeddingError(
                f"queries.decontaminate.embedding: {self._params.model} cannot be loaded without remote code: {error}"
            ) from None
        return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def nearest(texts: Vectors, items: Vectors, min_cosine: float) -> Iterator[list[int]]:
    """Yield for each text the items whose cosine reaches `min_cosine`, at most `MOST_ITEMS`, the nearest first."""
    if not len(texts) or not len(items):
        yield from ([] for _ in texts)
        return
    cosine = texts @ items.T
    most = min(MOST_ITEMS, cosine.shape[1])
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :most]
    for row, places in zip(cosine, best, strict=True):
        yield [int(i) for i in places if row[i] >= min_cosine]


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield parts of the texts, given shortest first, that have at most `BATCH_TOKENS` with padding."""
    part: list[int] = []
    for i in order:
        if part and (len(part) + 1) * lengths[i] > BATCH_TOKENS:
            yield part
            part = []
        part.append(i)
    if part:
        yield part
