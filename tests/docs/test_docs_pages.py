"""The reader of pages and the reader of command lines: whatever a page holds is found where it stands."""

import string
from pathlib import Path

import pytest
from docs_commands import Command, check, commands, parse, read_line
from docs_pages import ROOT, Block, PageError, cut_page, slug
from docs_tiny import Stock, Workplace, shrunk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WORDS = st.sampled_from(
    ["", "some words", "# heading", "    indented", "| a | b |", "`code`", "``", "<!-- note -->"]
)
BLOCK = st.tuples(
    st.sampled_from(["", "python", "yaml", "text"]),
    st.lists(WORDS, max_size=4),
    st.integers(3, 5),
    st.booleans(),
)
PIECES = st.lists(st.one_of(WORDS, BLOCK), max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PIECES)
def test_every_block_is_found_with_its_line_and_mark(pieces: list) -> None:
    lines: list[str] = []
    expected = []
    for piece in pieces:
        if isinstance(piece, str):
            lines.append(piece)
            continue
        language, inside, ticks, marked = piece
        if marked:
            lines.append("<!-- test: not run, a reason -->")
        lines += ["`" * ticks + language, *inside, "`" * ticks]
        line = len(lines) - len(inside)
        mark = "not run, a reason" if marked else None
        expected.append(Block("a.md", line, language, "".join(f"{one}\n" for one in inside), mark))
    page = cut_page("a.md", "\n".join(lines))
    assert page.blocks == expected
    assert [text for _, text in page.prose if text] == [one for one in pieces if isinstance(one, str) and one]


@given(st.lists(st.text(string.ascii_letters + string.digits + "-._=/", min_size=1, max_size=8), min_size=1))
def test_a_line_is_read_as_typed(words: list[str]) -> None:
    typed = ("convtrials", *words)
    (command,) = read_line(f"  {' '.join(typed)}   # and # prose | 'unclosed", "a.md:1")
    assert command == Command("a.md:1", typed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nnever closed\n", "a.md:1: this block never ends"),
        ("<!-- test: not run, why -->\n\n```\n```\n", "a.md:1: a mark must stand on the line before a block"),
        ("<!-- test: not run, why -->", "a.md:1: a mark must stand on the line before a block"),
    ],
)
def test_a_page_that_cannot_be_cut(text: str, said: str) -> None:
    with pytest.raises(PageError) as raised:
        cut_page("a.md", text)
    assert str(raised.value) == said


@pytest.mark.parametrize("mark", ["skip", "not run", "not run, ", "with `a`, why", "with `a` as `b`"])
def test_a_mark_needs_to_be_known_and_a_reason(mark: str) -> None:
    with pytest.raises(PageError, match=r"a\.md:1: unknown mark"):
        _ = Block("a.md", 1, "python", "a\n", mark).runnable


def test_marks() -> None:
    assert Block("a.md", 1, "python", "a\n", "not run, it takes hours").why_not_run == "it takes hours"
    replaced = Block("a.md", 1, "python", "f('cuda')\n", "with `'cuda'` as `'cpu'`, no GPU here")
    assert (replaced.why_not_run, replaced.runnable) == (None, "f('cpu')\n")
    with pytest.raises(PageError, match="not in the block"):
        _ = Block("a.md", 1, "python", "a\n", "with `b` as `c`, why").runnable


def test_lines_of_a_block() -> None:
    text = "# a comment\npip install x && A=1 make test\n\nconvtrials data info|check \\\n    SRC   prose\n"
    found = commands(Block("a.md", 7, "bash", text))
    assert [(one.place, str(one)) for one in found] == [
        ("a.md:8", "pip install x"),
        ("a.md:8", "make test"),
        ("a.md:10", "convtrials data info SRC"),
        ("a.md:10", "convtrials data check SRC"),
    ]
    console = commands(Block("a.md", 1, "console", "$ make test\nits output\n"))
    assert [(one.place, str(one)) for one in console] == [("a.md:1", "make test")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("convtrials trein", "No such command 'trein'"),
        ("convtrials bench train", "bench is hidden"),
        ("convtrials train --epoks 3", "No such option: --epoks"),
        ("convtrials train --epochs many", "--epochs"),
        ("convtrials data split SRC", "out"),
        ("convtrials study run studies/gone.yaml", "studies/gone.yaml is not in the repository"),
        ("make nothing", "nothing"),
        ("pip install 'convtrials[deploy]'", "on no package index"),
        ("pip install '.[deplay]'", "no extra deplay"),
        ("pip uninstall x", "no test knows"),
        ("python benchmarks/gone.py", "not in the repository"),
        ("python src/convtrials/__init__.py", "no script of benchmarks/"),
        ("python -m benchmarks.calibration --studys 3", "--studys"),
        ("python -m http.server", "no test knows python -m http.server"),
        ("python -m benchmarks.race --pears all", "--pears"),
        ("python -m benchmarks.race --rounds many", "--rounds"),
        ("bash benchmarks/gpu/gpu.sh --large", "knows no --large"),
        ("convtrails train", "no test knows the program 'convtrails'"),
    ],
)
def test_commands_that_cannot_work(line: str, said: str) -> None:
    (command,) = read_line(line, "a.md:1")
    with pytest.raises(PageError) as raised:
        check(command)
    assert str(raised.value).startswith("a.md:1: ")
    assert said in str(raised.value)


def test_a_verb_in_the_text_needs_no_arguments() -> None:
    (command,) = read_line("convtrials evaluate", "a.md:1")
    assert parse(command, complete=False) == ("evaluate", {})
    with pytest.raises(PageError):
        parse(command)
    (command,) = read_line("convtrials evaluate --help", "a.md:1")
    assert parse(command) == ("evaluate", {})


def test_sizes_are_cut_and_small_ones_kept() -> None:
    assert shrunk("load_dataset('glyphs', samples_per_class=700), seeds=4)") == (
        "load_dataset('glyphs', samples_per_class=12), seeds=2)"
    )
    assert shrunk('{"epochs": 2, "width": 0.25}') == '{"epochs": 1, "width": 0.125}'
    assert shrunk("epochs: 0.5\nseeds: {min: 3, max: 20}\nseeds=(3, 20)") == "epochs: 0.5\nseeds: 2\nseeds=2"
    assert shrunk("baseline: {recipe: small}") == "baseline: {recipe: small, epochs: 1}"
    assert shrunk("seeds=range(5), some_epochs=3") == "seeds=range(5), some_epochs=3"


@pytest.mark.parametrize("path", ["/home/somebody/photos", "~/photos"])
def test_nothing_is_put_outside_the_folder_of_a_page(path: str, stock: Stock, tmp_path: Path) -> None:
    with pytest.raises(PageError, match="from where the reader stands"):
        Workplace(tmp_path, stock, []).provide("images", path)


def test_a_block_that_fails_is_named_with_its_line(stock: Stock, tmp_path: Path) -> None:
    first = Block("docs/data.md", 3, "python", "data = 1\n")
    second = Block("docs/data.md", 9, "python", "data + 1\nunknown\n")
    place = Workplace(tmp_path, stock, [first, second])
    with pytest.raises(NameError) as raised:  # the block before it has run first
        place.run_python(second)
    last = raised.traceback[-1]
    assert (last.path, last.lineno + 1) == (ROOT / "docs" / "data.md", 10)
    with pytest.raises(PageError, match=r"a.md:4: convtrials train .*: exit code 1: RecipeError\(.*warmpu"):
        place.run_command(Command("a.md:4", ("convtrials", "train", "--set", "schedule.warmpu=1")))


def test_headings_as_github_spells_them() -> None:
    page = cut_page("a.md", "# At `half` the width, 91%?\n## [More](x.md)\n## More\n```\n# no heading\n```\n")
    assert page.anchors == {"at-half-the-width-91", "more", "more-1"}
    assert slug("A_b c-d") == "a_b-c-d"
