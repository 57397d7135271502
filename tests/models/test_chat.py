from pathlib import Path

import pytest

from stillhouse.models.chat import ChatTokenizer
from stillhouse.models.engine import EngineError
from stillhouse.records import Message

TURNS = [
    Message(role="user", content="What is 1 + 1?"),
    Message(role="assistant", content="2"),
    Message(role="user", content="Sure?"),
]


@pytest.fixture
def chat(tiny_model: Path) -> ChatTokenizer:
    return ChatTokenizer(f"path:{tiny_model}", "local")


def test_the_prompt_holds_every_turn_and_opens_the_assistants(chat: ChatTokenizer):
    prompt = chat.render(TURNS)
    positions = [prompt.index(text) for text in ("What is 1 + 1?", "\n2<", "Sure?")]
    assert positions == sorted(positions)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_the_system_prompt_comes_first(chat: ChatTokenizer):
    prompt = chat.render(TURNS, "Be brief.")
    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert prompt.endswith(chat.render(TURNS)[-40:])


def test_special_tokens_are_encoded_and_none_is_added(chat: ChatTokenizer):
    prompt = chat.render(TURNS[:1])
    ids = chat.encode(prompt)
    assert chat.tokenizer.decode(ids) == prompt
    assert ids[0] == chat.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert chat.encode("") == []


def test_a_template_file_replaces_the_models_own(tiny_model: Path, tmp_path: Path):
    template = tmp_path / "bare.jinja"
    template.write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}>")
    own = ChatTokenizer(f"path:{tiny_model}", "local")
    bare = ChatTokenizer(f"path:{tiny_model}", "local", str(template))
    assert bare.render(TURNS, "S") == "[S][What is 1 + 1?][2][Sure?]>"
    assert bare.fingerprint["tokenizer_sha256"] == own.fingerprint["tokenizer_sha256"]
    assert bare.fingerprint["chat_template_sha256"] != own.fingerprint["chat_template_sha256"]


def test_a_missing_template_file_is_named(tiny_model: Path, tmp_path: Path):
    chat = ChatTokenizer(f"path:{tiny_model}", "local", str(tmp_path / "gone.jinja"))
    with pytest.raises(EngineError, match=r"chat_template .*gone\.jinja"):
        chat.render(TURNS)


def test_a_tokenizer_without_template_is_an_error(tiny_model: Path, tmp_path: Path):
    for file in tiny_model.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(EngineError, match="has no chat template"):
        ChatTokenizer(f"path:{tmp_path}", "local").render(TURNS)
