"""Data sets: generators, and real data from packages, local files or, if asked, from the network.

Nothing is read or downloaded at import. `make_*` functions generate, `load_*` functions read real data, the
others change data.
"""

from typing import TYPE_CHECKING

from .. import _lazy

if TYPE_CHECKING:
    from rfpcore.datasets._disturbed import NoisyMoons, flip_labels, jitter_images, make_noisy_moons
    from rfpcore.datasets._images import Images, load_digits, load_fashion_mnist, load_mnist
    from rfpcore.datasets._instruments import InstrumentData, make_demand, make_iv_curve, make_sprites
    from rfpcore.datasets._policy import PolicyData, make_policy
    from rfpcore.datasets._real import load_benefits
    from rfpcore.datasets._synthetic import VeeData, make_vee

__all__ = [
    "Images",
    "InstrumentData",
    "NoisyMoons",
    "PolicyData",
    "VeeData",
    "flip_labels",
    "jitter_images",
    "load_benefits",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "make_demand",
    "make_iv_curve",
    "make_noisy_moons",
    "make_policy",
    "make_sprites",
    "make_vee",
]

_MODULE_OF = {
    "Images": "_images",
    "InstrumentData": "_instruments",
    "NoisyMoons": "_disturbed",
    "PolicyData": "_policy",
    "VeeData": "_synthetic",
    "flip_labels": "_disturbed",
    "jitter_images": "_disturbed",
    "load_benefits": "_real",
    "load_digits": "_images",
    "load_fashion_mnist": "_images",
    "load_mnist": "_images",
    "make_demand": "_instruments",
    "make_iv_curve": "_instruments",
    "make_noisy_moons": "_disturbed",
    "make_policy": "_policy",
    "make_sprites": "_instruments",
    "make_vee": "_synthetic",
}


# Imported when first asked for: the real ones need optional packages.
__getattr__ = _lazy.attach(globals(), _MODULE_OF)


def __dir__() -> list[str]:
    """The public names, also those not imported yet."""
    return sorted(__all__)
