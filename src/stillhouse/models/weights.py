"""Where the weights of a model lie on this machine.

A model is named in one of three ways, each with a revision that is a content hash:

- `package:<distribution>/<path to a .gguf file>`: a GGUF file inside an installed Python package; the revision is the
  file's sha256. transformers needs 40 s to read GGUF and one second to read safetensors, so it is converted once.
- a Hub id such as `Qwen/Qwen3-8B`: the revision is the 40-digit commit.
- `path:<folder>`: a folder that this run made (a trained student); the revision is `local`.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.files import partial
from stillhouse.hashing import file_sha256
from stillhouse.progress import quiet_libraries

CACHE_VARIABLE = "STILLHOUSE_CACHE"
# Raised when the conversion below changes, so that an old conversion is not taken for a new one.
CONVERSION = "1"


class WeightsError(StillhouseError):
    """A model's weights are missing or are not the ones named."""


def cache_folder() -> Path:
    """Return the folder for what can be made again: converted weights. `STILLHOUSE_CACHE` moves it."""
    return Path(os.environ.get(CACHE_VARIABLE, ".stillhouse/cache"))


def resolve(model: str, revision: str) -> Path:
    """Return the local folder of a model, converting or downloading it on first use.

    Raises:
        WeightsError: the package is not installed, the file has another hash, or the Hub does not answer.
    """
    if model.startswith("package:"):
        return _from_package(model.removeprefix("package:"), revision)
    if model.startswith("path:"):
        folder = Path(model.removeprefix("path:"))
        if not (folder / "config.json").is_file():
            raise WeightsError(
                f"model {model}: no config.json in {folder}; run the stage that makes it first"
            )
        return folder
    return _from_hub(model, revision)


def package_file(name: str) -> Path:
    """Return the path of a file given as `<package>/<path inside it>`, without importing the package."""
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"model package:{name}: the Python package {package!r} is not installed here; run `make env`"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    if not path.is_file():
        raise WeightsError(
            f"model package:{name}: {path} does not exist; the installed version has no such file"
        )
    return path


def _from_package(name: str, revision: str) -> Path:
    source = package_file(name)
    folder = cache_folder() / "models" / f"{source.stem}-{revision[:12]}-{CONVERSION}"
    if (folder / "config.json").is_file():
        return folder
    found = file_sha256(source)
    if found != revision:
        raise WeightsError(
            f"model package:{name}: revision is {revision} but the installed file has sha256 {found}"
        )
    with partial(folder, replace=False) as new:
        _convert_gguf(source, new)
    return folder


def _convert_gguf(source: Path, target: Path) -> None:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet_libraries()
    print(f"converting {source.name} to safetensors, once (about a minute)", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # transformers gives a GGUF tokenizer GPT-2's pre-tokenizer, which keeps runs of digits together; SmolLM2 was
    # trained on single digits, and does sums far worse when they are not split.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    target.mkdir(parents=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _from_hub(model: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"model {model}@{revision}: cannot be fetched from the Hub: {error}"
        ) from error
