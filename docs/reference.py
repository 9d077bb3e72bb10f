"""The reference: a page for each module, with a page for each public name, from their docstrings.

A name that several modules offer (`rfpcore.RFPRegressor`, `rfpcore.estimators.RFPRegressor`) has one page,
under the shortest of its names.
"""

import importlib
import pkgutil

from reports import write_if_new

import rfpcore


def public_modules(package=rfpcore):
    """Names of a package and of the public modules in it."""
    yield package.__name__
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if "._" in info.name:
            continue
        if info.ispkg:
            yield from public_modules(importlib.import_module(info.name))
        else:
            yield info.name


def names_by_module():
    """Module and the names whose page belongs to it, modules of few dots first."""
    seen, found = set(), {}
    for module in sorted(public_modules(), key=lambda name: (name.count("."), name)):
        try:
            offered = importlib.import_module(module)
        except ImportError:  # torch, which is not there and stood in for at the build
            found[module] = []
            continue
        own = []
        for name in offered.__all__:
            thing = getattr(offered, name)
            if id(thing) not in seen and not hasattr(thing, "__path__") and type(thing).__name__ != "module":
                seen.add(id(thing))
                own.append(name)
        if own:
            found[module] = own
    return found


def heading(title, line):
    """A heading of reStructuredText."""
    return f"{title}\n{line * len(title)}\n\n"


def module_page(module, names):
    """What a module is for, and a table of its names."""
    rows = "".join(f"   {name}\n" for name in names)
    return (
        heading(module, "=")
        + f".. automodule:: {module}\n   :no-members:\n\n.. currentmodule:: {module}\n\n"
        + f".. autosummary::\n   :toctree: names\n\n{rows}"
    )


def write_reference(folder):
    """Write the pages of modules and their list; autosummary writes those of the names."""
    found = names_by_module()
    entries = "".join(f"   {module}\n" for module in found)
    text = (
        heading("Reference", "=")
        + "Every public name, by the module it is imported from. A parameter means the same everywhere:\n"
        + ":doc:`/parameters`. Symbols are those of :doc:`/objective`. What scikit-learn gives an estimator\n"
        + "(``score``, ``get_params``, ``set_fit_request``, ...) is described there.\n\n"
        + f".. toctree::\n   :maxdepth: 1\n\n{entries}"
        + "\n.. toctree::\n   :maxdepth: 1\n   :caption: Conventions\n\n   /parameters\n   /objective\n"
    )
    write_if_new(folder / "index.rst", text)
    for module, names in found.items():
        write_if_new(folder / f"{module}.rst", module_page(module, names))
