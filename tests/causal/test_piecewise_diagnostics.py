"""Diagnostics that look at some rows at a time, so that Ctrl-C is heard, give what all at once would."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import linprog
from sklearn.neighbors import NearestNeighbors

from rfpcore.causal import _replicates, in_hull, own_cluster_share, triad

random = np.random.default_rng(0)


def test_own_share_is_that_of_the_search_over_all_rows(monkeypatch):
    """Also where more rows are equal than neighbours are asked for."""
    monkeypatch.setattr(_replicates, "PIECE", 50)
    rows = np.vstack([random.integers(0, 3, (200, 2)), random.standard_normal((100, 2))])
    codes = np.arange(300) % 20
    found = NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(return_distance=False)
    assert_array_equal(own_cluster_share(rows, codes), (codes[found] == codes[:, None]).mean(axis=1))


def test_traits_in_pieces(monkeypatch):
    rows, y, codes = random.standard_normal((200, 3)), random.standard_normal(200), np.arange(200) // 20
    whole = triad(rows, y, codes)
    monkeypatch.setattr(_replicates, "PIECE", 20)
    assert triad(rows, y, codes) == whole


@pytest.mark.parametrize("d", [1, 3, 12])
def test_hull_is_the_programme_over_all_rows(d):
    rows = random.standard_normal((150, d)) * 10.0 ** np.arange(d)
    middle = (rows[:5] + rows[5:10]) / 2
    points = np.vstack(
        [(0.7 if d < 5 else 0.3) * rows[:40], rows[:5], middle, 2 * abs(rows).max(axis=0)[None]]
    )
    scaled = np.vstack([(rows / rows.std(axis=0)).T, np.ones(len(rows))])
    weights = [
        linprog(np.zeros(150), A_eq=scaled, b_eq=np.append(point / rows.std(axis=0), 1.0)).status == 0
        for point in points
    ]
    found = in_hull(rows, points)
    assert_array_equal(found, weights)
    assert found[40:50].all()
    assert found[:40].sum() > 0
    assert not found.all()
