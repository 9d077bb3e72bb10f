"""What every estimator of the package does: clone, save, load, and refuse what is none of its own by name.

That an interrupted fit changes nothing is in test_all_or_nothing.py, whose cases these are.
"""

import functools
import warnings

import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from test_all_or_nothing import CASES, frozen, learn

import rfpcore
from rfpcore import _files
from rfpcore.files import NotSaved

# What a file does not hold: the data, what only fits use, and objects of other packages.
LEFT = {
    "_sample",
    "_splits",
    "_masks",
    "_used_models",
    "_fitted",
    "_inner",
    "_parts",
    "_pooled",
    "_cells",
    "_rows",
}
LEFT |= {"_first", "results_", "_seed"}


class Stranger:
    """Of no type that anything takes."""


@functools.cache
def fitted(name):
    case = CASES[name]
    model = clone(case.estimator)
    learn(case, model, 1.0)
    return model


def told(value):
    """All of a value, to the bit, but for where compiled objects lie."""
    if isinstance(value, list):  # members may share a network or have equal ones
        return [told(item) for item in value]
    return frozen(value, {}, of_handle=lambda handle: type(handle).__name__)


def says(name, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name].says(model)


def other_case(name):
    names = list(CASES)
    one, *others = [names[(names.index(name) + step) % len(names)] for step in range(len(names))]
    return next(other for other in others if other.split(",")[0] != one.split(",")[0])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", CASES)
def test_clones(name):
    copy = clone(fitted(name))
    assert frozen(copy.get_params(), {}) == frozen(fitted(name).get_params(), {})
    assert not any(attribute.endswith("_") and not attribute.startswith("_") for attribute in vars(copy))


@pytest.mark.parametrize("name", CASES)
def test_saves_and_loads_to_the_same_bits(name, path):
    model = fitted(name)
    expected = says(name, model)
    model.save(path)
    for loaded in (rfpcore.load(path), type(model).load(path)):
        assert type(loaded) is type(model)
        assert_array_equal(says(name, loaded), expected, strict=True)
        assert vars(loaded).keys() >= vars(model).keys() - LEFT
        for attribute in vars(loaded).keys() - model.get_params(deep=False).keys():
            if attribute.endswith("_"):
                assert told(getattr(loaded, attribute)) == told(getattr(model, attribute)), attribute
    before = _files.read(path)
    loaded.save(path)
    assert_array_equal(says(name, rfpcore.load(path)), expected, strict=True)
    assert _files.read(path)[1] == before[1]


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_one_fits_again(name, path):
    case = CASES[name]
    fitted(name).save(path)
    loaded, fresh = rfpcore.load(path), clone(case.estimator)
    foreign = [key for key, value in loaded.get_params(deep=False).items() if isinstance(value, NotSaved)]
    if foreign:
        with pytest.raises(ValueError, match=rf"{foreign[0]} was .*, a model of another package"):
            learn(case, loaded, 2.0)
        loaded.set_params(**{key: getattr(fresh, key) for key in foreign})
    learn(case, loaded, 2.0)
    if case.method == "fit" and not getattr(loaded, "warm_start", False):
        learn(case, fresh, 2.0)
        assert_array_equal(says(name, loaded), says(name, fresh))
        assert vars(loaded).keys() == vars(fresh).keys()


@pytest.mark.parametrize("name", CASES)
def test_files_of_another_class_are_refused_by_name(name, path):
    other = fitted(other_case(name))
    other.save(path)
    cls = type(fitted(name))
    with pytest.raises(ValueError, match=rf"holds a {type(other).__name__}; {cls.__name__}\.load was called"):
        cls.load(path)


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_of_a_wrong_type_is_named(name):
    case = CASES[name]
    for parameter in case.estimator.get_params(deep=False):
        model = clone(case.estimator).set_params(**{parameter: Stranger()})
        with pytest.raises((TypeError, ValueError), match=parameter):
            learn(case, model, 1.0)


@pytest.mark.parametrize("name", CASES)
def test_an_argument_of_a_wrong_type_is_named(name):
    case = CASES[name]
    for argument in case.data(1.0):
        with pytest.raises((TypeError, ValueError), match=argument):
            learn(case, clone(case.estimator), 1.0, **{argument: Stranger()})


def test_files_of_no_class_that_is_known(path):
    fitted("MLPRegressor").save(path)
    tensors, document = _files.read(path)
    for name in ("Popen", "RFPBase", "Saved", "MeanField", "linear_effect", ["MLPRegressor"], None):
        _files.write(path, tensors, document | {"class": name})
        with pytest.raises(ValueError, match="which is no class of rfpcore that files hold"):
            rfpcore.load(path)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_fitted_is_not_saved(name, path):
    with pytest.raises(ValueError, match="is not fitted yet"):  # NotFittedError is one
        clone(CASES[name].estimator).save(path)
    assert not path.exists()
