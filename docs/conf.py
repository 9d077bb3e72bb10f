"""The site, built by `make docs` into dist/docs: without network, and a warning is an error.

What is written by hand are the pages (*.md) and the tutorials (examples/tutorials, run at every build). The
reference of every public name and the reports of benches/ and examples/ are put beside them, in folders that
git ignores.
"""

import re
import sys
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reports  # noqa: E402
from reference import write_reference  # noqa: E402

project = "rfpcore"
author = "The rfpcore developers"
copyright = "The rfpcore developers, MIT or Apache-2.0"
release = version = version_of("rfpcore")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_templates", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "py:obj"  # `MixedRegressor` in a docstring leads to its page
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

smartquotes = False  # "squared" is typed with straight ones
html_theme = "pydata_sphinx_theme"
html_title = "rfpcore"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "collapse_navigation": True,
    "github_url": reports.REPOSITORY,
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "search_bar_text": "Search names and pages",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_context = {"default_mode": "light"}  # figures and outputs are drawn on white
html_sidebars = {"index": [], "search": []}

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types, in words
autodoc_mock_imports = [] if find_spec("torch") else ["torch"]  # a large download for four names
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "abort_on_example_error": True,
    "copyfile_regex": r".*\.rst",
    "download_all_examples": False,
    "examples_dirs": "../examples/tutorials",
    "filename_pattern": r"\.py$",
    "gallery_dirs": "tutorials",
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "min_reported_time": 3600,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
}


suppress_warnings = ["myst.header"]  # reports number their tables by headings of the third level


def keep_bars(app, what, name, thing, options, lines):
    """|x| in a docstring is an absolute value, not reStructuredText's substitution; code stays as it is."""
    literal = False
    for number, line in enumerate(lines):
        if not line.startswith((" ", "\t")) or line.strip().startswith(">>>"):
            literal = line.strip().startswith(">>>")
        if not literal and "``" not in line:
            lines[number] = line.replace("|", r"\|")
        literal = literal or line.endswith("::")


def keep_underscores(app, what, name, thing, options, lines):
    """A learnt thing (`n_iter_`) outside backticks is no link."""
    for number, line in enumerate(lines):
        if "_" in line and ">>>" not in line:
            parts = line.split("`")
            parts[::2] = [re.sub(r"(?<![\w\\\]])([A-Za-z]\w*)_(?!\w)", r"\1\\_", part) for part in parts[::2]]
            lines[number] = "`".join(parts)


def is_foreign(member):
    """Whether a class has it from scikit-learn, tuple or Exception, whose pages describe it."""
    function = getattr(member, "fget", None) or getattr(member, "func", None) or member
    function = getattr(function, "__func__", function)
    module = getattr(function, "__module__", None)
    return module is not None and not module.startswith("rfpcore")


def skip_member(app, what, name, member, skip, options):
    """Leave out what is inherited from elsewhere, and the fields of tuples, which the docstring lists."""
    is_field = type(member).__name__ in {"_tuplegetter", "member_descriptor"}
    return True if is_foreign(member) or is_field else skip


def setup(app):
    """Write the generated pages, and lead links out of docs/ to the repository."""
    write_reference(HERE / "reference")
    reports.write_reports(HERE / "reports")
    app.connect("autodoc-process-docstring", keep_bars, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", keep_underscores, priority=900)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("source-read", reports.lead_links_out)
