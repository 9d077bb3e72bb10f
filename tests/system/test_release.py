"""What a tag has to agree with: the version is one, and the changelog starts with it."""

import re
from pathlib import Path

import pytest

import rfpcore

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("Cargo.toml", r'^version = "(.+)"$'),
        ("CITATION.cff", r"^version: (.+)$"),
        ("CHANGELOG.md", r"^## \[(.+)\] - (?:unreleased|\d{4}-\d{2}-\d{2})$"),
    ],
)
def test_the_version_is_one(file, pattern):
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] == rfpcore.__version__


def test_the_changelog_links_its_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in re.findall(r"^## \[(.+)\]", text, re.MULTILINE):
        assert f"\n[{version}]: https://" in text
