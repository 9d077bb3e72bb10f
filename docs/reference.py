"""The reference of the Python layer: a page for each public module, in the folder that is named.

pdoc shows what is in a module's namespace, so names that are imported at first use are asked for before.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import rfpcore


def public_modules(package=rfpcore):
    """Names of a package, its modules, and the packages in it; what a package offers is on its own page."""
    yield package.__name__
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if "._" in info.name:
            continue
        if info.ispkg:
            yield from public_modules(importlib.import_module(info.name))
        elif package is rfpcore and info.name.rpartition(".")[2] not in rfpcore.__all__:  # pdoc walks those
            yield info.name


def main(folder):
    """Write the pages."""
    import pdoc

    names = list(public_modules())
    for name in names:
        module = importlib.import_module(name)
        for public in module.__all__:
            getattr(module, public)
    pdoc.render.configure(docformat="numpy")
    pdoc.pdoc(*names, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
