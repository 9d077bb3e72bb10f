"""Offline policy evaluation on CartPole-v1: F²BMLD, deep feature IV and fitted Q evaluation.

    python examples/cartpole.py results.jsonl            all of it; goes on where it was stopped
    python examples/cartpole.py results.jsonl --short    a few seconds
    python examples/cartpole.py results.jsonl --table    only what is there: the table and the figure

With some probability the environment plays any action; the action stored is the one that was meant. 2000
episodes of a trained policy with ε = 0.1 are to tell the value of the same with ε = 0 and 0.1. Of their
steps, 100000 to 270000, every k-th is kept, so that at most 20000 are left. Every fit is a line of JSON,
written when it is done. The figure has the error of the value against the noise, and the value on the way
through training.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from cartpole_policy import GAMMA, EpsilonGreedy, load, simulate

from rfpcore.npiv.ope import (
    DeepFeatureEvaluation,
    F2BMLDEvaluation,
    FittedQEvaluation,
    Transitions,
    make_transitions,
)

BEHAVIOUR = 0.1
FIXED_NOISE = 0.2  # of the right panel
LARGEST = 1 / (1 - GAMMA)  # value of a policy that never falls


class Size(NamedTuple):
    """How large the study is."""

    episodes: int = 2000
    steps: int = 20_000
    rollouts: int = 1000
    seeds: int = 10
    noises: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
    f2bmld: int = 5000
    dfiv: int = 1000


SHORT = Size(20, 500, 30, 2, (0.0, FIXED_NOISE), 60, 5)

METHODS: dict[str, Callable[[int, Size], Any]] = {
    "F²BMLD": lambda seed, size: F2BMLDEvaluation(gamma=GAMMA, max_iter=size.f2bmld, random_state=seed),
    "F²BMLD, no intercept": lambda seed, size: F2BMLDEvaluation(
        gamma=GAMMA, max_iter=size.f2bmld, fit_intercept=False, random_state=seed
    ),
    "DFIV": lambda seed, size: DeepFeatureEvaluation(gamma=GAMMA, max_iter=size.dfiv, random_state=seed),
    "FQE": lambda seed, size: FittedQEvaluation(gamma=GAMMA, random_state=seed),
}
COLOURS = dict(zip(METHODS, ("#0072b2", "#56b4e9", "#d55e00", "#666666"), strict=True))
MARKERS = dict(zip(METHODS, "osD^", strict=True))


class Truth(NamedTuple):
    """The value of a policy by simulation."""

    value: float
    standard_error: float
    first_states: np.ndarray


@cache
def truth(noise: float, epsilon: float, rollouts: int) -> Truth:
    """Mean discounted return, to a horizon of 1000 steps: 0.99^1000 / 0.01 = 0.004 is left out.

    At the 500 steps of the environment 0.66 would be, which its own truncation would pass off as an end.
    """
    found = simulate(EpsilonGreedy(load(), epsilon, 10**6), rollouts, noise, seed=10**6, horizon=1000)
    error = float(found.returns.std(ddof=1) / np.sqrt(rollouts))
    return Truth(float(found.returns.mean()), error, found.first_states)


@lru_cache(1)
def data(noise: float, seed: int, size: Size) -> Transitions:
    """Steps of the behaviour policy: every k-th of all episodes one after the other."""
    found = simulate(EpsilonGreedy(load(), BEHAVIOUR, seed), size.episodes, noise, seed)
    kept = slice(None, None, -(-len(found.states) // size.steps))
    return make_transitions(
        found.states[kept],
        found.actions[kept],
        np.ones(len(found.states))[kept],
        found.next_states[kept],
        found.terminated[kept],
        found.episode[kept],
        n_actions=2,
    )


def one(noise: float, epsilon: float, method: str, seed: int, size: Size) -> dict[str, Any]:
    """Fit one method on one draw."""
    steps, known = data(noise, seed, size), truth(noise, epsilon, size.rollouts)
    target = EpsilonGreedy(load(), epsilon, seed)
    model = METHODS[method](seed, size)
    began = time.process_time()
    model.fit(steps, target)
    record = {
        "noise": noise,
        "target": epsilon,
        "method": method,
        "seed": seed,
        "value": model.value(known.first_states, target),
        "truth": known.value,
        "standard_error": known.standard_error,
        "rows": len(steps.rewards),
        "ends": int(steps.terminated.sum()),
        "seconds": time.process_time() - began,
    }
    if hasattr(model, "path_"):
        path = model.path_values(known.first_states, target)
        record |= {"steps": model.path_steps_.tolist(), "path": path.round(3).tolist()}
    return record


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("noise", "target", "method", "seed"))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def todo(size: Size) -> Iterator[tuple[float, float, str, int]]:
    """The first target first; seeds outermost, so that what is there when it stops is a whole table."""
    for epsilon, seed, noise, method in itertools.product(
        (0.0, BEHAVIOUR), range(size.seeds), size.noises, METHODS
    ):
        if epsilon == 0 or method != "F²BMLD, no intercept":
            yield noise, epsilon, method, seed


def run(path: Path, size: Size, seconds: float) -> None:
    done = {key(record) for record in read(path)}
    began = time.perf_counter()
    with path.open("a") as file:
        for noise, epsilon, method, seed in todo(size):
            if time.perf_counter() - began > seconds:
                break
            if (noise, epsilon, method, seed) not in done:
                print(json.dumps(one(noise, epsilon, method, seed, size)), file=file, flush=True)


def chosen(records: list[dict[str, Any]], **which: Any) -> list[dict[str, Any]]:
    return [r for r in records if all(r[name] == value for name, value in which.items())]


def errors(records: list[dict[str, Any]], **which: Any) -> np.ndarray:
    return np.array([r["value"] - r["truth"] for r in chosen(records, **which)])


def table(records: list[dict[str, Any]]) -> str:
    """Truth, and for each method the median error and the distance of its quartiles over seeds."""
    lines = ["| target ε | noise | truth | " + " | ".join(METHODS) + " |", "| --- " * 7 + "|"]
    for epsilon, noise in sorted({(r["target"], r["noise"]) for r in records}):
        some = chosen(records, target=epsilon, noise=noise)
        cells = [f"{epsilon:g}", f"{noise:g}", f"{some[0]['truth']:.1f} ({some[0]['standard_error']:.1f})"]
        for method in METHODS:
            found = errors(some, method=method)
            low, middle, high = np.quantile(found, (0.25, 0.5, 0.75)) if len(found) else (np.nan,) * 3
            spread = f" ({high - low:.1f})" if len(found) > 1 else ""
            cells.append(f"{middle:+.1f}{spread}" if len(found) else "")
        lines.append("| " + " | ".join(cells) + " |")
    seconds = [
        f"{method} {np.median([r['seconds'] for r in some]):.1f}"
        for method in METHODS
        if (some := chosen(records, method=method))
    ]
    impossible = [
        f"{r['method']} {r['value']:.0f} (noise {r['noise']:g}, draw {r['seed']})"
        for r in records
        if not 0 <= r["value"] <= LARGEST
    ]
    diverged = f"Values below 0 or above {LARGEST:.0f}: " + (", ".join(impossible) or "none")
    return "\n".join([*lines, "", "Seconds a fit: " + ", ".join(seconds), diverged])


def trajectories(records: list[dict[str, Any]], method: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps (K,) and values (seeds, K) at the fixed noise, without exploration."""
    some = [r for r in chosen(records, noise=FIXED_NOISE, target=0.0, method=method) if "path" in r]
    n = min((len(r["path"]) for r in some), default=0)
    return np.array(some[0]["steps"][:n] if n else []), np.array([r["path"][:n] for r in some])


def jitter(records: list[dict[str, Any]]) -> str:
    """How much the value moves over the second half of training, and between draws at its end."""
    lines = []
    for method in METHODS:
        _, paths = trajectories(records, method)
        if len(paths) > 1:
            late = paths[:, paths.shape[1] // 2 :]
            within, between = late.std(axis=1, ddof=1).mean(), paths[:, -1].std(ddof=1)
            lines.append(f"{method}: {within:.2f} over the second half, {between:.2f} between draws")
    return f"Standard deviations of the value at noise {FIXED_NOISE:g}\n" + "\n".join(lines)


def draw_errors(ax: Any, records: list[dict[str, Any]]) -> None:
    noises = sorted({r["noise"] for r in records})
    for shift, method in zip(np.linspace(-0.015, 0.015, len(METHODS)), METHODS, strict=True):
        at = [noise for noise in noises if chosen(records, noise=noise, target=0.0, method=method)]
        found = [errors(records, noise=noise, target=0.0, method=method) for noise in at]
        low, middle, high = np.array([np.quantile(e, (0.25, 0.5, 0.75)) for e in found]).T
        ax.errorbar(
            np.array(at) + shift,
            middle,
            [middle - low, high - middle],
            fmt=MARKERS[method] + "-",
            color=COLOURS[method],
            markersize=5,
            linewidth=1.2,
            capsize=2,
            label=method,
        )
    known = [2 * chosen(records, noise=noise)[0]["standard_error"] for noise in noises]
    label = "2 standard errors of the truth"
    ax.fill_between(noises, np.negative(known), known, color="grey", alpha=0.25, linewidth=0, label=label)
    ax.axhline(0, color="grey", linewidth=0.8)
    ax.set(xlabel="noise: share of actions played at random", ylabel="estimated value − true value")
    ax.set_title("Error of the policy's value: median and quartiles of draws", loc="left", fontsize=11)


def draw_paths(ax: Any, records: list[dict[str, Any]]) -> None:
    known = chosen(records, noise=FIXED_NOISE, target=0.0)[0]["truth"]
    ax.axhline(known, color="grey", linewidth=0.8)
    for method in METHODS:
        steps, paths = trajectories(records, method)
        if len(paths):
            share, colour = 100 * steps / steps[-1], COLOURS[method]
            low, middle, high = np.quantile(paths, (0.1, 0.5, 0.9), axis=0)
            ax.fill_between(share, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(share, middle, color=colour)
    ax.set(xlabel="outer steps, % of all", ylabel="estimated value (line: true value)", xlim=(0, 100))
    title = f"On the way, noise {FIXED_NOISE:g}: median and 80 % of draws"
    ax.set_title(title, loc="left", fontsize=11)


def draw(records: list[dict[str, Any]], path: str) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    draw_errors(axes[0], records)
    draw_paths(axes[1], records)
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, appended to")
    parser.add_argument("--episodes", type=int, help="of the behaviour policy (default 2000)")
    parser.add_argument("--steps", type=int, help="of the episodes at most kept (default 20000)")
    parser.add_argument("--seeds", type=int, help="draws (default 10)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no fit after so long")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--table", action="store_true", help="fit nothing")
    parser.add_argument("--output", default="npiv_cartpole.png", help="the figure (default %(default)s)")
    options = parser.parse_args(arguments)
    given = {name: getattr(options, name) for name in ("episodes", "steps", "seeds")}
    size = (SHORT if options.short else Size())._replace(
        **{name: value for name, value in given.items() if value is not None}
    )
    if not options.table:
        run(options.results, size, options.seconds)
    records = read(options.results)
    print(table(records))
    print(jitter(records))
    draw(records, options.output)
    print(f"Wrote {options.output}.")


if __name__ == "__main__":
    main()
