"""Write THIRD-PARTY-NOTICES: the licences of the crates that the compiled extension links.

Run by `make notices` after a change of Cargo.lock; with `--check`, as `make lint` has it, it only says
whether the file is up to date. Where a crate offers several licences, the MIT text is taken.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTICES = ROOT / "THIRD-PARTY-NOTICES"
OWN = ("rfp-kernel", "rfpcore-py")
HEAD = """The compiled part of rfpcore contains the following crates, under the licences given with them. The
Rust standard library, which it contains too, is licensed under MIT OR Apache-2.0.
"""


def linked() -> list[dict[str, Any]]:
    """Packages whose code ends up in the extension: neither macros nor what only builds."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in found["packages"]}
    needs = {node["id"]: list(_needed(node)) for node in found["resolve"]["nodes"]}
    waiting = [own for own, package in packages.items() if package["name"] == "rfpcore-py"]
    seen: set[str] = set()
    while waiting:
        package = waiting.pop()
        if package not in seen and not _is_macro(packages[package]):
            seen.add(package)
            waiting += needs[package]
    crates = [packages[package] for package in seen if packages[package]["name"] not in OWN]
    return sorted(crates, key=lambda crate: (crate["name"], crate["version"]))


def _needed(node: dict[str, Any]) -> Iterator[str]:
    for need in node["deps"]:
        if any(kind["kind"] is None for kind in need["dep_kinds"]):
            yield need["pkg"]


def _is_macro(package: dict[str, Any]) -> bool:
    return any("proc-macro" in target["kind"] for target in package["targets"])


def text_of(crate: dict[str, Any]) -> str:
    """The licence text that comes with a crate, the MIT one where there are several."""
    folder = Path(crate["manifest_path"]).parent
    for pattern in ("LICENSE-MIT*", "LICENSE*", "LICENCE*", "COPYING*"):
        for path in sorted(folder.glob(pattern)):
            return path.read_text(encoding="utf-8").strip()
    return f"(The crate comes without a text of its own; its licence is {crate['license']}.)"


def notices() -> str:
    """The file: each text once, below the crates that it belongs to."""
    crates_of: dict[str, list[str]] = {}
    for crate in linked():
        crates_of.setdefault(text_of(crate), []).append(
            f"{crate['name']} {crate['version']} ({crate['license']})"
        )
    parts = ["\n".join([*names, "", text]) for text, names in crates_of.items()]
    return ("\n\n" + "-" * 80 + "\n\n").join([HEAD.strip(), *parts]) + "\n"


def main() -> int:
    """Write the file, or with `--check` compare it."""
    text = notices()
    if "--check" not in sys.argv[1:]:
        NOTICES.write_text(text, encoding="utf-8")
        return 0
    if NOTICES.exists() and NOTICES.read_text(encoding="utf-8") == text:
        return 0
    print("THIRD-PARTY-NOTICES is not what Cargo.lock asks for: run `make notices`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
