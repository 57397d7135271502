"""Write docs/reference/commands.md from the click commands.

mkdocs-click would render the same when the site is built; this page can also be read in the repository.

Usage: python tools/commands_reference.py
"""

import inspect
from pathlib import Path

import click

from stillhouse.cli import main

PAGE = Path("docs/reference/commands.md")
PROGRAM = "stillhouse"
# Other names of commands: one line each, since the command has a section of its own.
ALIASES = {"params check": "check", "verify check": "grade"}

HEAD = f"""# Commands

Made by `python tools/commands_reference.py` from the commands themselves; do not edit by hand.

Commands that need a project are run inside its folder. The pipeline is run by `dvc repro`, or `make repro`.

**Exit codes.** 0: done. 1: `release lint` found errors, or `verify audit` false accepts. 2: an expected error, with one
message on stderr that names the file or row, what was found and the remedy; or wrong usage.

**JSON.** With `--json` a command prints one JSON document on stdout and nothing else there. Progress and errors are on
stderr, and the exit code is the same as without it. `stillhouse plan --json | jq '.teachers[0].plan.cost_at_most'`

**Environment variables.** Each option is also read from the variable in its row, such as `STILLHOUSE_GRADE_WORKERS=8`.
The command line has precedence. Folders have variables of their own: `STILLHOUSE_JOURNAL` (the journal),
`STILLHOUSE_CACHE` (converted weights and other files that can be made again), `STILLHOUSE_SCRATCH` (checkpoints of a
training) and `STILLHOUSE_EVAL_PYTHON` (the Python of lighteval's environment).

**Shell completion.** For bash, add this line to `~/.bashrc`:

```bash
eval "$(_STILLHOUSE_COMPLETE=bash_source {PROGRAM})"
```

For zsh, `~/.zshrc` and `zsh_source`; for fish, `~/.config/fish/completions/{PROGRAM}.fish` and
`_STILLHOUSE_COMPLETE=fish_source {PROGRAM} | source`.
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(_sections(main, click.Context(main, info_name=PROGRAM), ()))


def _sections(command: click.Command, context: click.Context, path: tuple[str, ...]) -> list[str]:
    name = " ".join(path)
    if name in ALIASES:
        return [f"\n## {PROGRAM} {name}\n\nAnother name of `{PROGRAM} {ALIASES[name]}`.\n"]
    parts = []
    if path:
        parts.append(f"\n## {PROGRAM} {name}\n\n{_help(command)}\n")
    if not isinstance(command, click.Group):
        parts.append(
            f"\n```\n{PROGRAM} {name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        )
        parts.extend(_options(command, context, path))
        return parts
    for child_name in command.list_commands(context):
        child = command.get_command(context, child_name)
        if child is None:
            raise ValueError(f"{name}: lists {child_name}, which it does not have")
        inside = click.Context(child, parent=context, info_name=child_name)
        parts.extend(_sections(child, inside, (*path, child_name)))
    return parts


def _help(command: click.Command) -> str:
    """Return the help as Markdown; a paragraph that click must not wrap becomes a code block."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        f"```\n{part.removeprefix(chr(8)).strip(chr(10))}\n```"
        if part.startswith("\b")
        else part.replace("<", "&lt;")
        for part in paragraphs
    )


def _options(command: click.Command, context: click.Context, path: tuple[str, ...]) -> list[str]:
    options = [option for option in command.params if isinstance(option, click.Option)]
    if not options:
        return []
    rows = []
    for option in options:
        record = option.get_help_record(context)
        if record is None:
            continue
        names, text = (part.replace("|", "\\|").replace("  [", " [") for part in record)
        variable = "_".join((PROGRAM, *path, str(option.name))).replace("-", "_").upper()
        rows.append(f"| `{names}` | {text} | `{variable}` |\n")
    return ["\n| option | meaning | variable |\n|---|---|---|\n", *rows]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
