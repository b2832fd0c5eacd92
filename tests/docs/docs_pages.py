"""The pages that readers follow, cut into what a test can check: blocks of code, code in the text, links, headings.

A block of code is run unless a comment on the line before it, which no reader sees, says otherwise:

    <!-- test: not run, WHY -->                what it names is checked, but it is not run
    <!-- test: with `THIS` as `THAT`, WHY -->  one piece of the block is replaced before it is run
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]

_FENCE = re.compile(r"^( *)(`{3,})([^`]*)$")
_MARK = re.compile(r"^ *<!-- test: (.*) -->$")
_NOT_RUN = re.compile(r"not run, (?P<why>.+)")
_WITH = re.compile(r"with `(?P<this>[^`]+)` as `(?P<that>[^`]+)`, (?P<why>.+)")


class PageError(AssertionError):
    """A page holds what no reader could follow; the message says where and what."""


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes
    ----------
    page : str
        The file, from the root of the repository.
    line : int
        Of the first line inside the fence, from 1.
    language : str
        What stands behind the opening fence; empty for a bare one.
    text : str
        The lines inside, without the fence's indentation.
    mark : str or None
        What the comment before the block asks for.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str | None = None

    @property
    def place(self) -> str:
        """Where to look, as editors take it."""
        return f"{self.page}:{self.line}"

    @property
    def why_not_run(self) -> str | None:
        """The reason of a block that is not run."""
        found = self._marked()
        return found["why"] if found and found.re is _NOT_RUN else None

    @property
    def runnable(self) -> str:
        """The text with the replacement that its mark asks for."""
        found = self._marked()
        if found is None or found.re is not _WITH:
            return self.text
        if found["this"] not in self.text:
            raise PageError(f"{self.place}: the mark replaces {found['this']!r}, which is not in the block")
        return self.text.replace(found["this"], found["that"])

    def _marked(self) -> re.Match[str] | None:
        if self.mark is None:
            return None
        found = _NOT_RUN.fullmatch(self.mark) or _WITH.fullmatch(self.mark)
        if found is None:
            raise PageError(f"{self.place}: unknown mark {self.mark!r}; tests/docs/docs_pages.py lists them")
        return found


@dataclass(frozen=True)
class Page:
    """A page in pieces.

    Attributes
    ----------
    name : str
        The file, from the root of the repository.
    blocks : list of Block
    prose : list of (int, str)
        Line number and text of every line outside the blocks.
    """

    name: str
    blocks: list[Block]
    prose: list[tuple[int, str]]

    @property
    def code_in_text(self) -> list[tuple[int, str]]:
        """Line number and text of every piece between single backticks."""
        return [(line, code) for line, text in self.prose for code in re.findall(r"`([^`]+)`", text)]

    @property
    def links(self) -> list[tuple[int, str]]:
        """Line number and target of every link and image."""
        found = []
        for line, text in self.prose:
            plain = re.sub(r"`[^`]*`", "", text)
            targets = re.findall(r"\]\(\s*<?([^)\s>]+)", plain) + re.findall(
                r'\b(?:src|href)="([^"]+)"', plain
            )
            found += [(line, target) for target in targets]
        return found

    @property
    def anchors(self) -> set[str]:
        """What a link to this page may name behind ``#``: its headings, as GitHub spells them."""
        counts: dict[str, int] = {}
        names = {name for _, text in self.prose for name in re.findall(r'<a (?:id|name)="([^"]+)"', text)}
        for _, text in self.prose:
            if heading := re.match(r"#{1,6} +(.*?) *#*$", text):
                name = slug(heading[1])
                number = counts.get(name, 0)
                counts[name] = number + 1
                names.add(name if not number else f"{name}-{number}")
        return names


def slug(heading: str) -> str:
    """Spell a heading as GitHub does in addresses."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def read_page(path: Path) -> Page:
    """Cut a file into its pieces."""
    return cut_page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def cut_page(name: str, text: str) -> Page:
    """Cut the text of a page into its pieces.

    Raises
    ------
    PageError
        Where a block never ends, or a mark has no block.
    """
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    lines = list(enumerate(text.split("\n"), start=1))
    mark: tuple[int, str] | None = None
    while lines:
        number, line = lines.pop(0)
        fence = _FENCE.match(line)
        if mark is not None and not fence:
            raise PageError(f"{name}:{mark[0]}: a mark must stand on the line before a block")
        if fence:
            inside = _lines_inside(lines, fence[2], f"{name}:{number}")
            indent = len(fence[1])
            body = "".join(f"{one[min(indent, len(one) - len(one.lstrip(' '))) :]}\n" for one in inside)
            blocks.append(Block(name, number + 1, fence[3].strip(), body, mark and mark[1]))
            mark = None
        elif found := _MARK.match(line):
            mark = number, found[1]
        else:
            prose.append((number, line))
    if mark is not None:
        raise PageError(f"{name}:{mark[0]}: a mark must stand on the line before a block")
    return Page(name, blocks, prose)


def _lines_inside(lines: list[tuple[int, str]], fence: str, place: str) -> list[str]:
    """Take the lines up to the closing fence, and that fence, off the list."""
    inside = []
    while lines:
        _, line = lines.pop(0)
        bare = line.strip()
        if len(bare) >= len(fence) and not bare.strip("`"):
            return inside
        inside.append(line)
    raise PageError(f"{place}: this block never ends")
