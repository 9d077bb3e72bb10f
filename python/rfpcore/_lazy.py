"""Names of a package that are imported at their first use."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(namespace: dict[str, Any], module_of: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`, given its `globals()` and the submodule that each late name is from.

    A submodule stands for itself. What was imported stays in the namespace, and is not asked for again.
    """
    package = namespace["__name__"]

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{module_of[name]}")
        namespace[name] = found = module if module_of[name] == name else getattr(module, name)
        return found

    return __getattr__
