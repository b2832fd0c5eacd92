"""What `make docs` adds to the pages (README and its neighbours, every command, every public name), and what it checks.

MkDocs calls `on_files`, `on_page_markdown` and `on_post_page` (hooks in mkdocs.yml).
"""

import re
from pathlib import Path
from typing import Any

import typer.main

import convtrials
from convtrials.cli.main import app

ROOT = Path(__file__).parents[1]
#: Pages of the site that are files of the repository's root.
FROM_ROOT = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
#: Members of public classes that are there for the rest of the package, and may move: no part of the page of names.
HIDDEN = {
    "Recipe": ("custom_parts", "make"),
    "Study": ("spec",),
    "VerdictRow": ("scale",),
    "Execution": ("to_dict", "memory_format", "fabric_precision"),
    "Run": (
        *("begin", "end", "lock", "locked", "write_history", "write_predictions"),
        *("check_named", "check_files", "use_recorded_folder", "class_names_of"),
        *("services", "logged_to", "write_logged_to"),
    ),
}
#: Where the classes live whose fields the page shows, since public names return them.
RETURNED = (
    "convtrials.study.results.verdict_row.VerdictRow",
    "convtrials.training.run_documents.RunResult",
    "convtrials.training.run_documents.HistoryEntry",
    "convtrials.training.run_documents.DatasetDescription",
    "convtrials.training.engine.execution.Execution",
    "convtrials.evaluation.predictions.Predictions",
)
#: What a browser fetches by itself when it opens a page.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?![^>]*\brel=[\"']?(?:canonical|next|prev))[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|(?:url\(|@import\s)[\"']?((?:https?:)?//[^\"'\s)]+)",
    re.IGNORECASE,
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are files of the repository's root."""
    from mkdocs.structure.files import File

    for name, source in FROM_ROOT.items():
        text = from_root((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill the marks of two pages, and link to the pages of the root by their names on the site."""
    for name, source in FROM_ROOT.items():
        markdown = markdown.replace(f"](../{source}", f"]({name}")
    for mark, make in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load anything from another host."""
    if found := fetched(output):
        from mkdocs.exceptions import PluginError

        raise PluginError(
            f"{page.file.src_uri} loads {', '.join(found)}: the site must work without a network"
        )
    return output


def from_root(text: str) -> str:
    """Turn the links of a page in the root into those of a page beside the others."""
    names = {source: name for name, source in FROM_ROOT.items()}
    text = re.sub(r"\]\((\w+\.md)", lambda found: f"]({names.get(found[1], found[1])}", text)
    text = re.sub(r"\[([^\]]*)\]\((examples/[^)]*)\)", r"\1 (`\2`)", text)  # not a page
    return text.replace("](docs/", "](")


def fetched(html: str) -> list[str]:
    """Return the addresses on other hosts that a browser would fetch."""
    return [next(filter(None, found)) for found in _FETCHED.findall(html)]


def command_line() -> str:
    """Describe every command and its flags in Markdown, as ``--help`` does."""
    return "\n".join(_command(typer.main.get_command(app), "convtrials"))


def public_names() -> str:
    """Ask mkdocstrings for every public name, in the order of the page's table, then for what they return."""
    table = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"`ct\.(\w+)`", table))
    shown = [name for name in names if name in convtrials.__all__]
    return "\n".join(_described(name) for name in [*(f"convtrials.{name}" for name in shown), *RETURNED])


def _described(path: str) -> str:
    hidden = HIDDEN.get(path.rpartition(".")[2], ())
    options = f"    options:\n      filters: ['!^_', '!^({'|'.join(hidden)})$']\n" if hidden else ""
    return f"::: {path}\n{options}"


#: A comment in a page -> what makes the text in its place.
MARKS = {"<!-- every command -->": command_line, "<!-- every public name -->": public_names}


def _command(command: Any, name: str) -> list[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    inside = [command.get_command(context, one) for one in names]
    lines = []
    if not inside:
        lines += [f"## {name}", "", *(command.help or "").splitlines(), ""]
        lines += ["```text", " ".join([name, *command.collect_usage_pieces(context)]), "```", ""]
        lines += _flags(command, context)
    for one in inside:
        if not one.hidden:
            lines += _command(one, f"{name} {one.name}")
    return lines


def _flags(command: Any, context: Any) -> list[str]:
    records = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [f"| {_code(flag)} | {_cell(text)} |" for flag, text in filter(None, records)]
    return ["| flag | what it does |", "| --- | --- |", *rows, ""]


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    plain = re.sub(r"\[/?(?:dim|bold)\]", "", text)
    return re.sub(r"\s+", " ", plain).replace("|", "\\|").replace("<", "&lt;")
