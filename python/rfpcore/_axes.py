"""Where to draw, and in which colours."""

from typing import Any

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def axes(display: Any, ax: Any) -> Any:
    """The axes to draw on, new ones where none are given; kept with their figure on the display."""
    ax = axes_of(type(display).__name__, ax)
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def axes_of(name: str, ax: Any) -> Any:
    """The axes that the `plot` of a class draws on: those given, or new ones."""
    plt = pyplot(f"{name}.plot")
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def in_full(axis: Any) -> None:
    """Write an axis's numbers out: a power of ten at its end would lie in the legend that is there."""
    from matplotlib.ticker import ScalarFormatter

    formatter = axis.get_major_formatter()
    if isinstance(formatter, ScalarFormatter):  # not one of the user's own axes
        formatter.set_powerlimits((-6, 12))
        formatter.set_useOffset(False)


def pyplot(name: str) -> Any:
    """matplotlib.pyplot, for what is called so."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{name} draws with matplotlib: pip install 'rfpcore[plot]'") from error
    return plt


def learnt(estimator: Any, name: str) -> Any:
    """An attribute of a fitted estimator."""
    try:
        return getattr(estimator, name)
    except AttributeError:
        raise TypeError(
            f"estimator is a {type(estimator).__name__} without {name}; a fitted one that has it is needed"
        ) from None


def time_colours(n: int) -> list[Any]:
    """Colours of n moments, red for the first to blue for the last."""
    import matplotlib

    scale = matplotlib.colormaps["turbo_r"]
    return [scale(0.08 + 0.84 * i / max(n - 1, 1)) for i in range(n)]
