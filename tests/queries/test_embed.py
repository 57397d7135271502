"""Embeddings propose, a rule decides. The model here has random weights: it is a double for a trained encoder."""

from pathlib import Path

import numpy as np
import pytest

from stillhouse.params.queries import Decontaminate, Embedding
from stillhouse.queries import embed
from stillhouse.queries.decontaminate import Reference, decontaminate
from stillhouse.queries.embed import Embedder, EmbeddingError, nearest
from stillhouse.records import Query
from tests.queries.query_builder import make_query

ITEM = "A baker bakes 48 rolls and sells 31 of them before noon. How many rolls does the baker have left to sell?"
REPHRASED = "There were 48 rolls at the bakery; before noon 31 got sold by a baker. What amount of rolls is left over?"
TEXTS = [ITEM, REPHRASED, "Who wrote it?", "the rolls left " * 30]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(ITEM.lower().split()))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    transformers.set_seed(1)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def params(folder: Path, pooling: str = "cls", **changes: object) -> Embedding:
    values = {
        "model": f"path:{folder}",
        "revision": "0" * 40,
        "dtype": "float32",
        "pooling": pooling,
        "max_tokens": 48,
        "min_cosine": 0.0,
    }
    return Embedding.model_validate(values | changes)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_vector_does_not_depend_on_the_batch(
    encoder: Path, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Embedder(params(encoder, pooling)).vectors(TEXTS)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    monkeypatch.setattr(embed, "BATCH_TOKENS", 1)
    alone = Embedder(params(encoder, pooling)).vectors(TEXTS)
    assert np.allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[2], atol=1e-4)


def test_the_nearest_items_are_proposed_within_the_margin() -> None:
    items = np.eye(3, dtype=np.float32)
    texts = np.array([[0.9, 0.4, 0.1], [0.0, 0.0, 1.0]], dtype=np.float32)
    assert list(nearest(texts, items, 0.3)) == [[0, 1], [2]]
    assert list(nearest(texts, items[:0], 0.3)) == [[], []]


def hits(rules: Decontaminate, *texts: str) -> list[str | None]:
    references = [Reference("rolls", "0", ITEM), Reference("rolls", "1", "Name 3 of 7 colours.")]
    rows = decontaminate(map(make_query, texts), references, rules)
    return [None if isinstance(row, Query) else row[1].kind for row in rows]


def test_other_words_with_the_same_numbers_are_found_only_with_a_model(encoder: Path) -> None:
    rules = Decontaminate(ngram_words=13, min_overlap=0.5)
    assert hits(rules, ITEM, REPHRASED) == ["exact", None]
    with_model = rules.model_copy(update={"embedding": params(encoder)})
    other = REPHRASED.replace("31", "32")
    more = f"{REPHRASED} There were 5 cakes as well."
    assert hits(with_model, ITEM, REPHRASED, other, more, "Who is it?") == [
        *("exact", "rephrased", None, None, None),
    ]
    nothing_near = rules.model_copy(update={"embedding": params(encoder, min_cosine=1.0)})
    assert hits(nothing_near, REPHRASED) == [None]


def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no_such_model"}')
    with pytest.raises(EmbeddingError, match="embedding"):
        Embedder(params(tmp_path)).vectors(["Who?"])
