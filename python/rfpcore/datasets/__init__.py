"""Clustered data sets: generators, and real data that install from PyPI.

Nothing is read or downloaded at import. `make_*` functions generate, `load_*` functions read real data.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfpcore.datasets._instruments import InstrumentData, make_demand, make_iv_curve, make_sprites
    from rfpcore.datasets._real import load_benefits
    from rfpcore.datasets._synthetic import VeeData, make_vee

__all__ = [
    "InstrumentData",
    "VeeData",
    "load_benefits",
    "make_demand",
    "make_iv_curve",
    "make_sprites",
    "make_vee",
]

_MODULE_OF = {
    "VeeData": "_synthetic",
    "make_vee": "_synthetic",
    "load_benefits": "_real",
    "InstrumentData": "_instruments",
    "make_demand": "_instruments",
    "make_iv_curve": "_instruments",
    "make_sprites": "_instruments",
}


def __getattr__(name: str) -> Any:
    """Import a data set's module when it is first asked for: the real ones need optional packages."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """The public names, also those not imported yet."""
    return sorted(__all__)
