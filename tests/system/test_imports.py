"""Who imports whom: no circle, and nobody what is private to another package.

Every import counts: at the top of a module, within a function, and of a type alone. What is under
TYPE_CHECKING costs nothing when it runs, but a module that names another's type cannot be read without it.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import rfpcore

ROOT = Path(rfpcore.__file__).parent
COMPILED = "rfpcore._rfpcore"


def modules():
    """Path of each module by its name; a package is its `__init__`."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name, path, known):
    """Modules of the package that a module imports, whatever of them it takes."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            for alias in node.names:
                target = f"{source}.{alias.name}"
                if target != COMPILED and (target in known or source in known):
                    yield target if target in known else source


KNOWN = modules()
IMPORTS = {name: set(imported(name, path, KNOWN)) - {name} for name, path in KNOWN.items()}


def test_walk_sees_the_package():
    """Some imports of each kind, so that the tests below are about something."""
    assert "rfpcore.network" in IMPORTS["rfpcore.clusters"]
    assert "rfpcore.causal._fits" in IMPORTS["rfpcore.causal._nuisance"]
    assert "rfpcore.estimators.rfp.regressor" in IMPORTS["rfpcore.estimators.rfp.refits"]  # in a function
    assert len(IMPORTS) > 100


def test_no_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        raise AssertionError(f"modules import each other in a circle: {' <- '.join(error.args[1])}") from None


def private_to(module):
    """The package that a private module belongs to, or None; those at the top are for all."""
    parts = module.split(".")
    private = next((at for at, part in enumerate(parts) if part.startswith("_")), 1)
    return None if private == 1 else ".".join(parts[:private])


def test_private_modules_are_imported_by_their_own_package_only():
    """By it and by the packages within it: `npiv.ope` is of `npiv`."""
    found = [
        f"{name} imports {target}"
        for name, targets in sorted(IMPORTS.items())
        for target in sorted(targets)
        if (owner := private_to(target)) and name != owner and not name.startswith(f"{owner}.")
    ]
    assert not found, found
