"""The examples of effects in their short form: they run, print their numbers, and draw a picture."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "figure_triad": ("kernel smoother", "ordinary training", "MAML", "RFP", "outcomes_between"),
    "figure_neighbours": ("Own-cluster neighbours of controls", "independent"),
    "figure_two_clusters": ("ratio", "ordinary training", "MAML", "RFP"),
    "gain": ("cluster_scale", "selection", "n_clusters"),
    "insurance": ("difference in means", "RFP classifier", "in the intensive session"),
    "castle": ("group-time, weighted by population", "no standard error"),
}


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.filterwarnings("ignore:the outcome model")  # of five steps, in the short form
@pytest.mark.filterwarnings(
    "ignore::rfpcore.exceptions.InnerStepWarning"
)  # the scripts set their own filters
def test_short_form(name, tmp_path, capsys):
    if name in ("castle", "insurance"):
        pytest.importorskip("causaldata")
    plt.switch_backend("agg")
    picture = tmp_path / "picture.png"
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](["--short", "--output", str(picture)])
    printed = capsys.readouterr().out
    for word in PRINTED[name]:
        assert word in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


# At the paper's settings MAML steps beyond stability, which is what the figure shows.
@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.InnerStepWarning")
def test_maml_ignores_one_of_two_clusters():
    """Figure 8: its worse cluster's error is many times the better one's; RFP's is not."""
    errors = runpy.run_path(str(EXAMPLES / "figure_two_clusters.py"))["errors"](draws=2, steps=500)
    ratios = {name: (rows[:, 1] / rows[:, 0]).max() for name, rows in errors.items()}
    assert ratios["MAML"] > 20
    assert ratios["RFP"] < 20
