"""Training end to end, beside JAX and a loop over tasks in PyTorch.

Milliseconds an outer step, and seconds to the end. Writes its section of RESULTS.md.
"""

import argparse
from typing import Any

import numpy as np

from .. import report, results
from ..peers import Contestant, Peer, PeerError, cores, window
from . import tasks

PEERS = ("rfpcore", "jax", "torch")
STEPS = {"sine": 2000, "demo": 600}
# Twenty steps of Adam: where an entry of the gradient is nearly zero, rounding decides a whole step's sign.
AGREE = 0.02

# Name, problem, element type, k.
RUNS = [
    ("sine k 1", "sine", "float32", 1),
    ("sine k 5", "sine", "float32", 5),
    ("demo", "demo", "float64", 1),
]


def contestant(peer: str, form: str, threads: int, run: tuple[str, str, str, int]) -> Contestant:
    _, problem, dtype, k = run
    agrees = None if (problem, form) == ("sine", "trainer") else AGREE  # it draws its batches itself
    extra = {"problem": problem, "k": k}
    module = f"benches.gradient.train_{peer}"
    return Contestant(peer, None, dtype, threads, form, module=module, extra=extra, tolerance=agrees)


def contestants(run: tuple[str, str, str, int]) -> list[Contestant]:
    """The first is the reference of the others. A loop over tasks gains nothing from threads."""
    every = cores()
    forms = ["functions", "trainer"] if run[1] == "sine" else ["trainer"]
    found = [contestant("rfpcore", form, n, run) for form in forms for n in sorted({every, 1}, reverse=True)]
    found += [contestant("jax", "scan", n, run) for n in sorted({every, 1}, reverse=True)]
    return [*found, contestant("torch", "loop", 1, run)]


def to_the_end(one: Contestant, steps: int) -> dict[str, Any]:
    """Seconds of a whole training in a fresh process, its first call (and JAX's compilation) included."""
    peer = Peer(one)
    try:
        first = peer.ask(**one.request())["first_ms"]
        # Two chunks are done: the first call, and the one whose result was checked.
        rest = peer.ask(op="repeat", times=steps // tasks.CHUNK - 2)
        seconds = (first + rest["ms"] * (steps // tasks.CHUNK - 1) / (steps // tasks.CHUNK - 2)) / 1e3
        return {"seconds": seconds, "vector": rest["vector"]}
    except PeerError as error:
        return {"error": str(error)}
    finally:
        peer.close()


def held_out_loss(theta: list[float], k: int) -> float:
    """Mean loss of 500 new sine tasks after k steps on ten of their rows."""
    import rfpcore

    from .train_rfpcore import network, sine_clusters

    _, X, y = tasks.sine("float64", batches=20, seed=1)
    data = sine_clusters(X.reshape(-1, *X.shape[2:]), y.reshape(-1, y.shape[2]))
    return rfpcore.objective(network(tasks.SINE), np.array(theta), data, 0.0, k, tasks.SINE_ETA).value


def measure(run: tuple[str, str, str, int], quick: bool) -> list[dict[str, Any]]:
    name, problem, _, k = run
    print(name, flush=True)
    taking_part = contestants(run)
    measured = window(taking_part, 2 if quick else 9, 0.05 if quick else 0.3)
    steps = 100 if quick else STEPS[problem]
    for one, found in zip(taking_part, measured, strict=True):
        if "error" in found:
            continue
        found["step_ms"] = found["ms"] / tasks.CHUNK
        found["steps"] = steps
        print(f"    {one.name:28}{found['step_ms']:.3g} ms a step", flush=True)
        if one.peer == "torch":  # minutes: told from its steps
            found["seconds"] = found["first_ms"] / 1e3 + found["step_ms"] * (steps - tasks.CHUNK) / 1e3
            continue
        end = to_the_end(one, steps)
        theta = end.pop("vector", None)
        found |= end
        if problem == "sine" and theta is not None:
            found["held_out"] = held_out_loss(theta, k)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    options = parser.parse_args()
    place = results.folder(options.quick)
    found = {run[0]: measure(run, options.quick) for run in RUNS}
    results.save(place, "training", found, quick=options.quick)
    report.write(place)


if __name__ == "__main__":
    main()
