"""Wheel and sdist in fresh environments: every Python at hand, oldest and newest dependencies.

    python tests/install/environments.py dist/rfpcore-*

In each the package is installed and `smoke.py` run. Which versions are the oldest is said in pyproject.toml
alone. It needs uv (`pip install uv`), and for an sdist a Rust toolchain.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "pyproject.toml"
SMOKE = Path(__file__).with_name("smoke.py")
LARGE = ("torch", "examples")  # extras that are tried where they are asked for: --extras torch
DECLARED = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
EXTRAS = [name for name in DECLARED["optional-dependencies"] if name not in LARGE]
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
# A part of every folder that needs neither torch nor data sets. Old packages warn of what newer ones changed.
OPTIONS = ("-q", "--no-header", "--override-ini=filterwarnings=default")
TESTS = {
    "causal": ("causal_columns", "cluster_effect", "did", "linear_effect", "linear_fits", "staggered"),
    "core": ("calibration", "clusters", "functional", "losses", "network", "plotting", "validation"),
    "estimators": ("estimators", "mixed", "mixed_linear", "mixed_sklearn", "mlp", "persistence"),
    "many": ("many",),
    "npiv": ("npiv_designs", "npiv_files"),
    "studies": ("sweeps",),
    "system": ("cli", "every_estimator", "frames"),
}


def main() -> int:
    given = arguments()
    pythons = given.python or at_hand()
    print(f"Pythons: {', '.join(pythons)}", flush=True)
    failed = []
    for package in given.packages:
        for python in pythons:
            for bounds in given.bounds:
                name = f"{package.name} on {python}, {bounds} dependencies"
                print(f"== {name}", flush=True)
                try:
                    try_one(package.resolve(), python, bounds, given.extras, given.tests)
                except subprocess.CalledProcessError as error:
                    failed.append(
                        f"{name}: {' '.join(map(str, error.cmd[:4]))} … ended with {error.returncode}"
                    )
    print("\n".join(["FAILED:", *failed]) if failed else "All of them work.")
    return bool(failed)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", type=Path, help="wheels and sdists")
    parser.add_argument("--python", nargs="+", help="versions or interpreters; by default all at hand")
    parser.add_argument("--bounds", nargs="+", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument("--extras", nargs="*", default=EXTRAS, help=f"by default {' '.join(EXTRAS)}")
    parser.add_argument("--tests", action="store_true", help="a part of the tests too")
    return parser.parse_args()


def at_hand() -> list[str]:
    """An interpreter of each version on the path or in pyenv's folder that the package is for."""
    oldest = int(DECLARED["requires-python"].removeprefix(">=3."))
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    minors = range(oldest, oldest + 20)
    candidates = [shutil.which(f"python3.{minor}") for minor in minors]
    candidates += [path for minor in minors for path in sorted(folder.glob(f"3.{minor}.*/bin/python"))]
    found: dict[str, str] = {}
    for path in filter(None, candidates):
        asked = subprocess.run([path, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
        if asked.returncode == 0:  # a name on the path may be nothing but a shim
            found.setdefault(asked.stdout.split()[0], str(path))
    return [found[version] for version in sorted(found, key=lambda text: [*map(int, text.split(".")[:2])])]


def try_one(package: Path, python: str, bounds: str, extras: Sequence[str], tests: bool) -> None:
    """Install a package in an environment of its own, and run it there."""
    with tempfile.TemporaryDirectory() as folder:
        interpreter = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        uv = (sys.executable, "-m", "uv")
        run(*uv, "venv", "--quiet", "--python", python, folder)
        install = (*uv, "pip", "install", "--quiet", "--python", interpreter)
        wanted = ["-r", PROJECT, *(f"--extra={extra}" for extra in extras)]
        wanted += ["--group", f"{PROJECT}:installed"] if tests else []
        run(*install, "--only-binary=:all:", f"--resolution={RESOLUTIONS[bounds]}", *wanted)
        run(*install, "--no-deps", package)
        run(*uv, "pip", "check", "--quiet", "--python", interpreter)
        run(interpreter, SMOKE, cwd=folder)
        if tests:
            files = [f"tests/{part}/test_{name}.py" for part, names in TESTS.items() for name in names]
            run(interpreter, "-m", "pytest", *OPTIONS, *files, cwd=ROOT)


def run(*command: object, cwd: object = None) -> None:
    """A command, which sees what is installed and not the checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, env=kept)


if __name__ == "__main__":
    sys.exit(main())
