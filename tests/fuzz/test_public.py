"""Every public callable under hostile arguments; the rule is in `fuzz_rule`.

`make test` makes the same twenty calls of each every time. `make fuzz` makes new ones for
RFPCORE_FUZZ_SECONDS seconds. RFPCORE_FUZZ_FINDINGS names a file to add what is found to, instead of failing;
RFPCORE_FUZZ_JOURNAL one for the call that is being made, should the process die of it.
"""

import importlib
import inspect
import os
import pkgutil
import secrets
import time
import zlib
from pathlib import Path

import fuzz_core
import fuzz_data
import fuzz_effects
import fuzz_estimators
import fuzz_implicit
import fuzz_instruments
import fuzz_mixed
import fuzz_studies
import pytest
from fuzz_known import EXEMPT, KNOWN
from fuzz_rule import Finding
from hypothesis import HealthCheck, given, seed, settings

import rfpcore

MODULES = (
    fuzz_core,
    fuzz_data,
    fuzz_estimators,
    fuzz_effects,
    fuzz_implicit,
    fuzz_instruments,
    fuzz_mixed,
    fuzz_studies,
)
TARGETS = {target.name: target for module in MODULES for target in module.TARGETS}
LONG = float(os.environ.get("RFPCORE_FUZZ_SECONDS", 0))
SECONDS = LONG / len(TARGETS) if LONG else 3.0  # a target; in `make test` only a bound for slow machines
ROUND = settings(max_examples=20, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Files that a hostile path makes land in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


@pytest.mark.parametrize("name", TARGETS)
def test_public_callable(name):
    target = TARGETS[name]
    target.works()
    target.check({})
    deadline = time.monotonic() + SECONDS
    found: dict[str, Finding] = {}

    def run(changed):
        if time.monotonic() > deadline:
            return
        try:
            target.check(changed)
        except Finding as finding:
            if not any(part in finding.key for part in KNOWN):
                found.setdefault(finding.key, finding)

    def one_round(number):
        seed(number)(ROUND(given(target.hostile())(run)))()

    one_round(zlib.crc32(name.encode()))  # the same every time
    while LONG and time.monotonic() < deadline:
        one_round(secrets.randbits(64))
    report(found.values())


def report(found):
    if found and (path := os.environ.get("RFPCORE_FUZZ_FINDINGS")):
        with Path(path).open("a", errors="replace") as file:
            file.writelines(f"{finding}\n" for finding in found)
    elif found:
        pytest.fail("\n".join(str(finding) for finding in found), pytrace=False)


def public_names():
    """Functions and classes of all public modules, and the methods of these classes."""
    modules = [rfpcore] + [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(rfpcore.__path__, "rfpcore.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
    found = {}
    for module in modules:
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            if found.setdefault(name, thing) is not thing:  # two of a name, as the reference has them
                name = f"{module.__name__.rpartition('.')[2]}.{name}"
                found[name] = thing
            if inspect.isclass(thing):
                found |= {f"{name}.{method}": method for method in methods(thing)}
    return set(found)


def methods(kind):
    """Public methods that the package writes or that an estimator has from scikit-learn."""
    found = {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}
    functions = {name: getattr(thing, "__func__", thing) for name, thing in found.items()}
    return {
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and function.__module__.split(".")[0] in ("rfpcore", "sklearn")
    }


def test_every_public_name_is_fuzzed_or_says_why_not():
    names = public_names()
    covered = {name for target in TARGETS.values() for name in (target.name, *target.covers)}
    exempt = {name for name in names if name in EXEMPT or f".{name.rpartition('.')[2]}" in EXEMPT}
    missing = sorted(names - covered - exempt)
    assert not missing, f"public, and neither a target of tests/fuzz nor in EXEMPT: {missing}"
    gone = sorted(name for name in EXEMPT if not name.startswith(".") and name not in names)
    assert not gone, f"in EXEMPT, and no longer public: {gone}"
