"""Castle-doctrine laws and homicide: two-way fixed effects beside group-time effects, 2000 to 2010.

The laws came in 2006 to 2010, to 21 states. Cheng and Hoekstra (2013) report about 8 % more homicides, from
two-way fixed effects weighted by population. Prints that estimate and the averages of group-time effects;
draws the event study.
"""

import argparse
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from rfpcore.causal import Effect, EventStudyDisplay, StaggeredEffect
from rfpcore.exceptions import DesignWarning


def load() -> "object":
    """States and years, with the logarithm of homicides per 100,000."""
    try:
        from causaldata import castle
    except ImportError as error:
        raise SystemExit("the data come with causaldata: pip install 'rfpcore[examples]'") from error
    frame = castle.load_pandas().data
    return frame.assign(log_homicide=np.log(frame["homicide"]))[
        ["sid", "year", "log_homicide", "post", "popwt"]
    ]


def two_way(frame: "object", weighted: bool) -> tuple[float, float]:
    """Coefficient and CR1 error of the law with state and year effects."""
    import pyfixest

    weights = {"weights": "popwt"} if weighted else {}
    fit = pyfixest.feols("log_homicide ~ post | sid + year", frame, vcov={"CRV1": "sid"}, **weights)
    return float(fit.coef()["post"]), float(fit.se()["post"])


def group_time(frame: "object", weighted: bool) -> StaggeredEffect:
    """Group-time effects, without covariates."""
    weights = "popwt" if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # of states that adopt alone in a year: said below
        return StaggeredEffect().fit(
            frame, "log_homicide", "post", "sid", "year", covariates=[], sample_weight=weights
        )


def line(name: str, effect: Effect) -> str:
    low, high = effect.confidence_interval()
    return f"{name:52}{effect.estimate:>8.3f}{effect.std_error:>8.3f}   [{low:+.3f}, {high:+.3f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--short", action="store_true", help="without two-way fixed effects and the bootstrap"
    )
    parser.add_argument("--output", default="castle.png")
    options = parser.parse_args(arguments)
    frame = load()
    print(f"{'effect on log homicide':52}{'':>8}{'error':>8}   95 % interval")
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", sharey=True)
    for ax, weighted in zip(axes, (True, False), strict=True):
        kind = "weighted by population" if weighted else "states alike"
        if not options.short:
            estimate, error = two_way(frame, weighted)
            bounds = f"[{estimate - 2.01 * error:+.3f}, {estimate + 2.01 * error:+.3f}]"
            print(f"{'two-way fixed effects, ' + kind:52}{estimate:>8.3f}{error:>8.3f}   {bounds}")
        model = group_time(frame, weighted)
        print(line(f"group-time, {kind}, jackknife", model.effect_))
        if not options.short:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DesignWarning)
                print(line(f"group-time, {kind}, bootstrap", model.infer("bootstrap")[0]))
        EventStudyDisplay.from_estimator(model).plot(ax)
        ax.set_title(kind, loc="left", fontsize=11)
        ax.set_ylim(-1, 1)
    axes[0].set_ylabel("effect on log homicide")
    axes[1].set_ylabel("")
    figure.savefig(options.output, dpi=150)
    plt.close(figure)
    print("\nOne state adopted in 2006 and one in 2010: what rests on one of them has no standard error.")
    print(f"Wrote {options.output}.")


if __name__ == "__main__":
    main()
