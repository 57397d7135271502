"""Fixtures that several rooms share."""

from pathlib import Path

import pytest
from hypothesis import settings

# No test fails because the machine is busy.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

TEMPLATE = Path(__file__).resolve().parents[1] / "conf/chat_templates/smollm2.jinja"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rooms whose files take longest: a process runs a whole file, and a long one should not be last."""
    items.sort(
        key=lambda item: ("pipeline" not in item.path.parts, "verify" not in item.path.parts)
    )


@pytest.fixture(scope="session")
def sandboxed() -> None:
    """Skip where this machine cannot isolate code; the reason is the one that a user would see."""
    from stillhouse.verify.code import sandbox

    if reason := sandbox.probe("bubblewrap"):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def full_environment() -> None:
    """Skip in the light environment, which has no library of models."""
    pytest.importorskip("torch", reason="needs the full environment: make env")


@pytest.fixture(scope="session")
def tiny_model(full_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with a small byte-level tokenizer: the real code path without the real weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        ["What is the answer? The answer is 4.\n\n"] * 4,
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|endoftext|>",  # as in many base models: not the token that ends a turn
        pad_token="<|endoftext|>",
        additional_special_tokens=special[1:],
    )
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    folder = tmp_path_factory.mktemp("tiny") / "model"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder inputs/ of an empty project, which is made the current one."""
    monkeypatch.chdir(tmp_path)
    folder = Path("inputs")
    folder.mkdir()
    return folder
