import pytest

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.curate import UncheckedError, refuse_unchecked


def test_a_benchmark_without_items_stops_the_run_unless_it_is_named() -> None:
    items = {"sums": 12, "aime24": 0, "livecodebench": 0}
    rules = Decontaminate(ngram_words=13, min_overlap=0.5, allow_unchecked=["livecodebench"])
    with pytest.raises(UncheckedError, match=r"benchmark task aime24: .*allow_unchecked"):
        refuse_unchecked(items, rules)
    named = rules.model_copy(update={"allow_unchecked": ["livecodebench", "aime24"]})
    refuse_unchecked(items, named)
