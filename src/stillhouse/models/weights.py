"""Finds the weights of a model on this machine, and downloads or converts them at first use.

The name of a model has one of three forms, each with a revision:

- `package:<distribution>/<path to a .gguf file>`: a GGUF file inside an installed Python package; the revision is the
  file's sha256. transformers reads GGUF in 40 s and safetensors in one second, so the file is converted once.
- a Hub id such as `Qwen/Qwen3-8B`: the revision is the 40-digit commit.
- `path:<folder>`: a folder that this run wrote (a trained student); the revision is `local`.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.files import partial
from stillhouse.hashing import file_sha256
from stillhouse.kept import kept_folder
from stillhouse.progress import quiet_libraries

CACHE_VARIABLE = "STILLHOUSE_CACHE"
# Raise this number when the conversion below changes, so that an old conversion is not reused.
CONVERSION = "1"


class WeightsError(StillhouseError):
    """The weights of a model are missing, or have another revision than stated."""


def cache_folder() -> Path:
    """Return the folder of converted weights, which can be deleted at any time: `STILLHOUSE_CACHE`, if it is set."""
    return Path(os.environ.get(CACHE_VARIABLE) or kept_folder() / "cache")


def resolve(model: str, revision: str) -> Path:
    """Return the local folder of a model; convert or download the model at first use.

    Raises:
        WeightsError: the package is not installed, the file has another hash, or the download failed.
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


def local_folder(model: str, revision: str) -> Path | None:
    """Return the folder that `resolve` would, where it needs neither a download nor a conversion; None elsewhere."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    kind, _, name = model.partition(":")
    if kind == "path":
        return _with_config(Path(name))
    if kind == "package":
        return _with_config(_converted(Path(name), revision))
    try:
        return _with_config(
            Path(snapshot_download(model, revision=revision, local_files_only=True))
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def _with_config(folder: Path) -> Path | None:
    return folder if (folder / "config.json").is_file() else None


def _converted(source: Path, revision: str) -> Path:
    return cache_folder() / "models" / f"{source.stem}-{revision[:12]}-{CONVERSION}"


def package_file(name: str) -> Path:
    """Return the path of a file named `<package>/<path inside it>`, without importing the package."""
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
    folder = _converted(source, revision)
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
    # transformers gives a GGUF tokenizer the pre-tokenizer of GPT-2, which does not split numbers into digits. SmolLM2
    # was trained on single digits, and its arithmetic is much worse without the split.
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
