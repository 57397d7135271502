import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.filter import ngrams, spill
from stillhouse.filter.ngrams import Texts, repeated
from stillhouse.filter.spill import SpillError
from stillhouse.filter.tokens import NgramHashes, ngram_hashes, tokens
from stillhouse.params.filter import NgramFilter

TEXTS = st.lists(
    st.lists(
        st.sampled_from(["the", "answer", "is", "4", ".", "so", "été", "日本", "\n"]), max_size=12
    ).map(" ".join),
    max_size=12,
)


def limits(n: int, max_count: int, **other) -> NgramFilter:
    return NgramFilter(n=n, max_count=max_count, action="sample", **other)


def naive(
    texts: list[str], n: int, max_count: int, to_a_query: int = 1
) -> tuple[list[int], list[int]]:
    """Count every n-gram as a tuple of words; return the numbers of the looping texts and of the copies.

    The first `to_a_query` texts belong to one query, and so on.
    """
    counts = [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for words in map(tokens, texts)
    ]
    held_by = Counter(ngram for found in counts for ngram in found)
    looping = [i for i, found in enumerate(counts) if any(c > max_count for c in found.values())]
    taken, answered, copies = set(), set(), []
    for i, found in enumerate(counts):
        frequent = {ngram for ngram in found if held_by[ngram] > max_count}
        if i in looping or i // to_a_query in answered:
            continue
        if frequent & taken:
            copies.append(i)
        else:
            taken |= frequent
            answered.add(i // to_a_query)
    return looping, copies


def asked(texts: list[str], to_a_query: int = 1) -> Texts:
    return lambda: ((f"query {i // to_a_query}", text) for i, text in enumerate(texts))


def found(
    texts: list[str],
    params: NgramFilter,
    folder: Path,
    threads: int = 2,
    to_a_query: int = 1,
    memory_mb: int = 512,
) -> tuple[list[int], list[int]]:
    result = repeated(asked(texts, to_a_query), params, folder, threads, memory_mb)
    return np.flatnonzero(result.looping).tolist(), np.flatnonzero(result.copies).tolist()


@settings(deadline=None, max_examples=100)
@given(TEXTS, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_it_finds_what_an_exact_count_finds(
    tmp_path_factory, texts: list[str], n: int, max_count: int, to_a_query: int
):
    folder = tmp_path_factory.getbasetemp()
    expected = naive(texts, n, max_count, to_a_query)
    assert found(texts, limits(n, max_count), folder, to_a_query=to_a_query) == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(), max_size=5), st.integers(1, 3))
def test_hashed_tokens_are_those_of_the_expression(texts: list[str], n: int):
    owner, hashes = ngram_hashes(texts, n)
    windows = [
        (i, tuple(words[p : p + n]))
        for i, words in enumerate(map(tokens, texts))
        for p in range(len(words) - n + 1)
    ]
    assert owner.tolist() == [i for i, _ in windows]
    hash_of = {window: value for (_, window), value in zip(windows, hashes.tolist(), strict=True)}
    assert [hash_of[window] for _, window in windows] == hashes.tolist()
    assert len(set(hash_of.values())) == len(hash_of)


def test_every_code_point_is_cut_as_the_expression_cuts_it():
    everything = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [f"a{character}b" for character in everything]
    owner, _ = ngram_hashes(texts, 1)
    counted = np.bincount(owner, minlength=len(texts))
    assert counted.tolist() == [len(tokens(text)) for text in texts]


@pytest.mark.parametrize("bits", [0, 1, 3])
def test_collisions_of_hashes_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path, bits: int):
    def crowded(texts: list[str], n: int) -> NgramHashes:
        """Give all n-grams one of a few hashes."""
        found = ngram_hashes(texts, n)
        few = found.hash >> np.uint64(64 - bits) if bits else found.hash * np.uint64(0)
        return found._replace(hash=few << np.uint64(60))

    texts = [f"only here {i} and the answer is {i % 3}, or {'so so ' * (i % 5)}" for i in range(40)]
    expected = naive(texts, 4, 3)
    assert expected[0]
    assert expected[1]
    monkeypatch.setattr(ngrams, "ngram_hashes", crowded)
    assert found(texts, limits(4, 3), tmp_path) == expected


def test_the_limit_itself_is_allowed_and_one_copy_is_kept(tmp_path: Path):
    texts = ["one two three"] * 20
    assert found(texts, limits(3, 20), tmp_path) == ([], [])
    texts.append("zero one two three")
    assert found(texts, limits(3, 20), tmp_path) == ([], list(range(1, 21)))


def test_a_text_that_shares_nothing_with_a_kept_one_stays(tmp_path: Path):
    # Text 1 is a copy of text 0; text 2 shares its n-gram with text 1 alone, which is dropped.
    texts = ["a b c", "a b c d e f", "d e f", "d e f"]
    assert found(texts, limits(3, 1), tmp_path) == ([], [1, 3])


def test_a_text_that_is_surplus_is_not_the_kept_copy(tmp_path: Path):
    # Texts 0 and 1 answer one query and 0 is kept, so that of the texts with the n-gram (1, 2 and 4) text 2 stays.
    texts = ["its own words", "a b c", "a b c", "other words", "a b c"]
    assert found(texts, limits(3, 2), tmp_path, to_a_query=2) == ([], [4])
    assert found(texts, limits(3, 2), tmp_path) == ([], [2, 4])


def test_the_limit_can_be_a_share_of_the_texts(tmp_path: Path):
    texts = ["one two three"] * 30 + [f"{i} and {i}" for i in range(70)]
    assert found(texts, limits(3, 5, max_rate=0.3), tmp_path) == ([], [])
    by_rate = repeated(asked(texts), limits(3, 5, max_rate=0.29), tmp_path)
    assert (by_rate.limit, int(by_rate.copies.sum())) == (29, 29)
    # Below max_count the share has no effect, so that a small set keeps its texts.
    assert repeated(asked(texts), limits(3, 40, max_rate=0.01), tmp_path).limit == 40


def test_a_looping_text_is_dropped_and_condemns_no_other(tmp_path: Path):
    looping = "and one again " * 30
    texts = [looping, "and one and one is two", looping[:80]]
    assert found(texts, limits(20, 20), tmp_path) == ([0], [])


def test_order_of_the_words_matters(tmp_path: Path):
    texts = ["one two three", "three two one", "two one three"]
    assert found(texts, limits(3, 1), tmp_path) == ([], [])


def test_short_and_empty_texts_are_never_repeated(tmp_path: Path):
    assert found(["", "one", "one two"] * 10, limits(3, 1), tmp_path) == ([], [])
    assert found([], limits(3, 1), tmp_path) == ([], [])


def test_tokens_are_words_and_single_marks():
    assert tokens("It's 4.5,\nnaïve  (x_1)!") == [
        *("It", "'", "s", "4", ".", "5", ",", "naïve", "(", "x_1", ")", "!")
    ]


def many_texts(count: int = 1500) -> list[str]:
    """Return texts of which some loop, some share phrases, and all have some 400 tokens of their own."""
    draw = np.random.default_rng(5)
    phrases = [" ".join(f"p{k}w{i}" for i in range(24)) for k in range(6)]
    texts = [" ".join(map(str, draw.integers(0, 10_000, 400))) for _ in range(count)]
    for k, phrase in enumerate(phrases):
        for i in draw.choice(count, 18 + 2 * k, replace=False):
            texts[i] += " " + phrase
    for i in draw.choice(count, 9, replace=False):
        texts[i] += " and one again" * 30
    return texts


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("memory_mb", [1, 512])
def test_memory_and_threads_change_nothing(tmp_path, capfd, threads: int, memory_mb: int):
    texts = many_texts()
    expected = naive(texts, 20, 20)
    assert len(expected[0]) == 9
    assert len(expected[1]) > 60
    assert found(texts, limits(20, 20), tmp_path, threads, memory_mb=memory_mb) == expected
    told = capfd.readouterr().err
    assert (str(tmp_path) in told) == (memory_mb == 1)
    assert ("temporary file of 4." in told) == (memory_mb == 1)  # 8 bytes for 0.6 million n-grams
    assert not list(tmp_path.iterdir())


def test_many_frequent_ngrams_are_confirmed_in_several_readings(tmp_path: Path):
    texts = [" ".join(map(str, range(i, i + 3000))) for i in range(0, 600, 20)]
    reads = 0

    def read():
        nonlocal reads
        reads += 1
        return asked(texts)()

    result = repeated(read, limits(20, 3), tmp_path, memory_mb=1)
    assert reads > 2
    assert np.flatnonzero(result.copies).tolist() == naive(texts, 20, 3)[1]


@pytest.mark.parametrize("call", ["open", "write", "read"])
def test_a_full_or_broken_disk_is_told_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "open":
        monkeypatch.setattr(spill.tempfile, "TemporaryFile", full)
    else:
        monkeypatch.setattr(spill, "_write" if call == "write" else "_read_fully", full)
    texts = many_texts(400)
    with pytest.raises(SpillError, match=r"No space left.*memory_mb") as told:
        repeated(asked(texts), limits(20, 20), tmp_path, memory_mb=1)
    assert str(tmp_path) in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_reader_that_fails_leaves_no_file(tmp_path: Path):
    def read():
        yield from asked(many_texts(400))()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeated(read, limits(20, 20), tmp_path, memory_mb=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_leaves_no_file(tmp_path: Path, ending: signal.Signals):
    program = """
        import signal
        import sys
        from pathlib import Path
        from stillhouse.filter.ngrams import Texts, repeated
        from stillhouse.params.filter import NgramFilter

        def read():
            for i in range(10**9):
                yield str(i), " ".join(map(str, range(i * 1000, (i + 1) * 1000)))

        signal.signal(signal.SIGINT, signal.default_int_handler)
        params = NgramFilter(n=20, max_count=20, action="sample")
        repeated(read, params, Path(sys.argv[1]), memory_mb=1)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "spill")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "temporary file" in process.stderr.readline()
            wait_until_it_is_open(process.pid, tmp_path / "spill")
            process.send_signal(ending)
            process.wait(30)
        finally:
            process.kill()
    assert process.returncode == -ending
    assert not list((tmp_path / "spill").iterdir())


def wait_until_it_is_open(process: int, folder: Path) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(folder) in os.readlink(link):
                    return
        time.sleep(0.01)
    raise AssertionError("the temporary file was never open")
