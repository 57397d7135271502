"""Refresh the lock files. uv resolves them, pip installs them: only pip finds a local CPU wheel of torch."""

import os
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
# The CUDA lock may differ from the CPU lock in what vLLM's two builds pin, but not in what decides a result.
SAME_ON_GPU = (
    "click",
    "datasets",
    "datasketch",
    "dvc",
    "huggingface-hub",
    "if-verifiable",
    "latex2sympy2-extended",
    "math-verify",
    "peft",
    "pyarrow",
    "pydantic",
    "reasoning-gym",
    "tokenizers",
    "transformers",
    "trl",
)
TITLES = {
    "main": "CPU lock of the main environment",
    "light": "Lock of the light environment, a part of main.txt",
    "eval": "Lock of the lighteval environment",
    "gpu": "CUDA lock of the main environment",
}


def compile_lock(name: str, *arguments: str) -> None:
    """Resolve <name>.in into <name>.txt; the versions locked there now are kept where they still fit."""
    target = REQUIREMENTS / f"{name}.txt"
    options = ["--quiet", "--no-annotate", "--no-header", "--python-version", "3.11"]
    environment = {**os.environ, "UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    subprocess.run(
        ["uv", "pip", "compile", *options, f"{name}.in", "-o", target.name, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=REQUIREMENTS,
        env={k: v for k, v in environment.items() if v},
    )
    title = f"# {TITLES[name]}, made by `make lock` from {name}.in; complete, so it is installed with --no-deps.\n"
    target.write_text(title + target.read_text(encoding="utf-8"), encoding="utf-8")


def main() -> int:
    """Refresh all locks."""
    cpu = ("--override", "overrides.txt")
    compile_lock("main", *cpu)
    compile_lock("light", "--constraint", "main.txt", *cpu)
    compile_lock("eval", *cpu)
    pins = [
        line
        for line in (REQUIREMENTS / "main.txt").read_text(encoding="utf-8").splitlines()
        if line.partition("==")[0] in SAME_ON_GPU
    ]
    constraints = REQUIREMENTS / "gpu-constraints.partial"
    constraints.write_text("\n".join(pins), encoding="utf-8")
    gpu = ("--override", "gpu-overrides.txt", "--python-platform", "x86_64-manylinux_2_28")
    try:
        compile_lock("gpu", "--constraint", constraints.name, *gpu)
    finally:
        constraints.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
