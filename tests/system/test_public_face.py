"""What users see: every module is there after one import, and every public name is where it should be."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore import causal, derivatives, dropout, estimators, exceptions, functional, npiv
from rfpcore.datasets import make_policy
from rfpcore.npiv import ope

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


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("rfpcore.MixedRegressor, rfpcore.RFPClassifier, rfpcore.MLPRegressor", ""),
        ("rfpcore.causal, rfpcore.conformal", "sklearn.linear_model"),
        ("rfpcore.npiv", "sklearn.linear_model, sklearn.gaussian_process, sklearn.kernel_approximation"),
    ],
)
def test_estimators_take_no_more_of_scikit_learn_than_they_need(code, more):
    """They were ten megabytes above its linear models and ensembles: trees and k-means are for few fits."""
    parts = "{name for name in sys.modules if name.startswith('sklearn.') and name.count('.') == 1}"
    # Where scikit-learn has callbacks, estimators take part in them: a small package.
    known = f"import sys, sklearn.base{more and ', '}{more}; known = {parts} | {{'sklearn.callback'}}"
    asked = f"import rfpcore; {code}; sys.exit(', '.join(sorted({parts} - known)) or 0)"
    subprocess.run([sys.executable, "-c", f"{known}; {asked}"], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_offers_is_there_and_listed(name):
    module = importlib.import_module(name)
    offered = module.__all__
    assert len(set(offered)) == len(offered)
    for public in offered:
        assert hasattr(module, public), f"{name}.__all__ has {public!r}"
    assert set(offered) <= set(dir(module))


def test_a_frame_without_pandas_says_what_to_install():
    """`ManyResult.to_frame` and two others passed on Python's bare "No module named 'pandas'"."""
    code = "import sys, rfpcore, numpy as np; sys.modules['pandas'] = None\n"
    code += "model = rfpcore.Model((2,), n_steps=1)\n"
    code += "rfpcore.fit_many(np.ones((4, 1)), np.ones(4), model).to_frame()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.endswith("ImportError: to_frame needs pandas: pip install pandas\n")


def test_an_unknown_name_is_an_attribute_error_that_names_the_package():
    for package in (rfpcore, rfpcore.datasets, rfpcore.npiv):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nonsense'"):
            _ = package.nonsense


def test_the_top_offers_functions_estimators_and_all_that_can_go_wrong():
    trained = {name for name in estimators.__all__ if hasattr(getattr(estimators, name), "get_params")}
    offered = {*exceptions.__all__, *functional.__all__, *derivatives.__all__, *dropout.__all__, *trained}
    offered |= {"MLP", "Clusters", "ClusterStatus", "Objective", "Model", "fit_many", "sweep", "SweepResult"}
    if hasattr(rfpcore, "load"):
        offered.add("load")
    assert set(rfpcore.__all__) == offered | {"losses"}


def test_no_two_classes_have_one_name():
    package = Path(rfpcore.__file__).parent
    code = [path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))]
    names = re.findall(r"^class (\w+)", "\n".join(code), re.MULTILINE)
    assert sorted(names) == sorted(set(names))


ESTIMATORS = [
    thing
    for package in (estimators, npiv, ope, causal)
    for thing in (getattr(package, name) for name in package.__all__)
    if hasattr(thing, "get_params")
]
PAGE = Path(__file__).parents[2] / "docs" / "parameters.md"


def params(kind):
    return set(kind._get_param_names())


def test_every_parameter_is_in_the_table_of_names():
    """A second name for a thing, or a second thing of a name, has to get past whoever reads the table."""
    table, _ = PAGE.read_text(encoding="utf-8").split("The order of `fit`'s arguments")
    rows = re.findall(r"^\| (`.*`) \| (.+) \|$", table, re.MULTILINE)
    known = [name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    assert len(set(known)) == len(known)
    used = {name for kind in ESTIMATORS for name in params(kind)}
    assert used == set(known)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_parameters_keep_their_scikit_learn_names_apart_from_methods(kind):
    """A string named `score` would hide the method that scikit-learn calls."""
    methods = {name for name in dir(kind) if inspect.isfunction(inspect.getattr_static(kind, name))}
    assert not params(kind) & (methods | {"score", "fit", "predict", "transform"})


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_every_parameter_has_a_limit(kind):
    assert set(kind._limits) == params(kind)


@pytest.mark.parametrize(
    "kind", [k for k in ESTIMATORS if "random_state" in params(k)], ids=lambda k: k.__name__
)
def test_a_generator_is_refused_in_the_same_words_everywhere(kind):
    model = kind(random_state=np.random.default_rng(0))
    clusters = {"groups": [0, 0, 1, 1]} if "groups" in inspect.signature(kind.fit).parameters else {}
    with pytest.raises(TypeError, match="random_state is a Generator; an integer, a RandomState or None"):
        model._checked() if hasattr(kind, "_limits") else model.fit(np.eye(4), [0, 1, 0, 1], **clusters)


def effect(random_state):
    data = make_policy(n_clusters=20, n_per_cluster=3, selection=0.0, random_state=0)
    model = causal.ClusterEffect(
        outcome=LinearRegression(),
        cluster_columns=[],
        inference="bootstrap",
        n_draws=19,
        random_state=random_state,
    )
    return model.fit(data.X, data.y, data.treatment, data.groups)


def test_random_state_of_effects():
    """An integer is the seed; what else there is gives one, once a fit."""
    same = effect(3), effect(np.int64(3))
    np.testing.assert_array_equal(*(model.effect_.draws for model in same))
    first, again = (effect(np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(first.effect_.draws, again.effect_.draws)
    np.testing.assert_array_equal(first.infer("bootstrap")[0].draws, first.effect_.draws)
    source = np.random.RandomState(3)
    one, two, any_seed = effect(source), effect(source), effect(None)
    for other in (two, any_seed):
        assert not np.array_equal(one.effect_.draws, other.effect_.draws)
    with pytest.raises(TypeError, match="random_state is a Generator; an integer, a RandomState or None"):
        effect(np.random.default_rng(3))
