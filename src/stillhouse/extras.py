"""Says which extra of the package has a library that is not installed.

`pip install stillhouse` has what released sets need: pull, release, journal, show. Everything else imports its
libraries when it is used, and a missing one ends the command with the line that adds it.
"""

# The import name of each library that only an extra brings, and that extra in pyproject.toml.
EXTRA_OF = {
    "PIL": "report",
    "accelerate": "train",
    "aiohttp": "pipeline",
    "altair": "report",
    "dvc": "pipeline",
    "dvclive": "train",
    "gguf": "vllm",
    "if_verifiable": "verify",
    "langdetect": "verify",
    "mpmath": "verify",
    "nltk": "verify",
    "peft": "train",
    "reasoning_gym": "pipeline",
    "safetensors": "train",
    "scipy": "report",
    "tokenizers": "vllm",
    "torch": "vllm",
    "transformers": "vllm",
    "trl": "train",
    "vl_convert": "report",
    "vllm": "vllm",
}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the line for a library that an extra would have brought; None: the module is not such a library."""
    library = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(library)
    if extra is None:
        return None
    return f"the Python package {library} is not installed; run: pip install 'stillhouse[{extra}]'"
