"""The study of size and power in short: it runs, and its cells are what they are called."""

import numpy as np

from benches.studies import monotonicity as bench


def test_study_writes_its_table(tmp_path):
    path = tmp_path / "folder" / "table.md"
    bench.main(["--quick", "--data-sets", "2", "--output", str(path)])
    rows = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 5 * 5 * 2 + 2 + 5 * 2  # two tables with their heads
    assert "| bump of .09 | equal | 10 |" in path.read_text()


def test_noise_of_the_cells():
    random = np.random.default_rng(0)
    for noise in bench.NOISES:
        curves = bench.Cell("flat", noise, 20_000).draw(random)
        within = curves - curves.mean(axis=1, keepdims=True)
        spread = curves.std(axis=0) ** 2 - bench.SEED_EFFECT**2
        expected = 0.02 * (np.linspace(1.6, 0.6, 12) if "unequal" in noise else np.ones(12))
        expected[5] *= 3 if "loud" in noise else 1
        np.testing.assert_allclose(np.sqrt(spread), expected, rtol=0.06)
        correlation = np.corrcoef(within[:, 5], within[:, 6])[0, 1]
        assert (correlation > 0.2) == ("correlated" in noise)
    assert bench.Cell("bump of .04", "equal", 5).rise == np.float64(0.21) - 0.17
    assert bench.Cell("falling", "equal", 5).rise < 0
