"""Reports that lie beside what made them become pages of the site; other links lead to the repository."""

import re
import shutil
from pathlib import Path

REPOSITORY = "https://github.com/rfpcore/rfpcore"
DOCS = Path(__file__).parent
ROOT = DOCS.parent

# Page of the site: file in the repository.
REPORTS = {
    "benchmarks": "benches/RESULTS.md",
    "clusters": "benches/CLUSTERS.md",
    "descent": "examples/descent/report/report.md",
    "effects": "benches/EFFECTS.md",
    "implicit": "examples/implicit/RESULTS.md",
    "monotonicity": "benches/MONOTONICITY.md",
}
for vendor in sorted((ROOT / "benches" / "results").glob("*/RESULTS.md")):
    REPORTS[f"benchmarks-{vendor.parent.name}"] = vendor.relative_to(ROOT).as_posix()
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def lead_elsewhere(text, folder, page):
    """Markdown of a file in `folder`, with links from the top of the site, or to the repository."""

    def target(match):
        path = (folder / match[1]).resolve()
        if not path.exists():
            raise FileNotFoundError(f"{page} links to {match[1]}, which is not in {folder}")
        name = path.relative_to(ROOT.resolve()).as_posix()
        for report, source in REPORTS.items():
            if name == source:
                path = DOCS.resolve() / "reports" / f"{report}.md"
        if not path.is_relative_to(DOCS.resolve()):
            kind = "tree" if path.is_dir() else "blob"
            return f"{REPOSITORY}/{kind}/main/{name}"
        # A link from a page starts at the top of the site.
        return f"/{path.relative_to(DOCS.resolve()).as_posix()}" + (match[2] or "")

    return LINK.sub(target, text)


def write_reports(folder):
    """Copy the reports, with their figures."""
    folder.mkdir(exist_ok=True)
    for page, name in REPORTS.items():
        source = ROOT / name
        text = source.read_text(encoding="utf-8")
        for figure in re.findall(r"!\[[^\]]*\]\(([^):]+)\)", text):
            shutil.copy(source.parent / figure, folder / f"{page}-{Path(figure).name}")
            text = text.replace(f"]({figure})", f"](../docs/reports/{page}-{Path(figure).name})")
        text = re.sub(r"\]\(\.\./docs/reports/", f"]({folder.resolve().as_posix()}/", text)
        write_if_new(folder / f"{page}.md", lead_elsewhere(text, source.parent, name))


def write_if_new(path, text):
    """Write a file only if that changes it, so that an unchanged page is not built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def lead_links_out(app, page, source):
    """Of pages written by hand: links within docs/ stay, others lead to the repository."""
    path = Path(app.env.doc2path(page))
    if path.suffix == ".md" and path.parent.name != "reports":
        source[0] = lead_elsewhere(source[0], path.parent, page)
