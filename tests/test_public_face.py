"""What users see: every module is there after one import, and every public name is where it should be."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import rfpcore
from rfpcore import estimators, exceptions, functional

pytest.importorskip("torch")  # for rfpcore.torch_reference


def public_modules(package=rfpcore):
    """Names of a package, its public modules and those of the packages in it."""
    names = [package.__name__]
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if "._" in info.name:
            continue
        module = importlib.import_module(info.name)
        names += public_modules(module) if info.ispkg else [info.name]
    return names


MODULES = public_modules()


def test_every_public_module_is_there_after_one_import():
    code = "import rfpcore\n" + "\n".join(MODULES)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_import_takes_nothing_that_is_slow():
    slow = "{'sklearn', 'scipy', 'pandas', 'torch', 'matplotlib', 'linearmodels', 'rich'}"
    code = f"import rfpcore, sys; sys.exit(', '.join({slow} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_offers_is_there_and_listed(name):
    module = importlib.import_module(name)
    offered = module.__all__
    assert len(set(offered)) == len(offered)
    for public in offered:
        assert hasattr(module, public), f"{name}.__all__ has {public!r}"
    assert set(offered) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error_that_names_the_package():
    for package in (rfpcore, rfpcore.datasets, rfpcore.npiv):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nonsense'"):
            _ = package.nonsense


def test_the_top_offers_functions_estimators_and_all_that_can_go_wrong():
    trained = {name for name in estimators.__all__ if hasattr(getattr(estimators, name), "get_params")}
    offered = {*exceptions.__all__, *functional.__all__, *trained}
    offered |= {"MLP", "Clusters", "ClusterStatus", "Objective", "Model", "fit_many", "sweep", "SweepResult"}
    if hasattr(rfpcore, "load"):
        offered.add("load")
    assert set(rfpcore.__all__) == offered | {"losses"}
