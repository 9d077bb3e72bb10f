"""Training many small networks, beside JAX, PyTorch and scikit-learn.

Microseconds an optimizer step of a model. Writes its section of RESULTS.md.
"""

import argparse
from typing import Any

from .. import report, results
from ..peers import Contestant, Peer, PeerError, cores, window
from .tasks import CHAIN, T1, T2, TASKS, Task

PEERS = ("rfpcore", "jax", "torch", "sklearn")
SWEEP_MODELS, SWEEP_STEPS = 1000, 1000

# Every peer draws its own batches, so only the chain's parameters, of whole batches, can be compared.
# Ten steps of Adam: where an entry of the gradient is nearly zero, rounding decides a whole step's sign.
CHAIN_TOLERANCE = 0.02


def contestant(peer: str, form: str, threads: int, task: Task, models: int) -> Contestant:
    """One peer in one form; a step's time is a call's over steps and models."""
    extra = {"task": task.name, "models": models, "steps": task.chunk}
    agrees = CHAIN_TOLERANCE if task is CHAIN else None
    module = f"benches.many.peer_{peer}"
    return Contestant(peer, None, "float32", threads, form, module=module, extra=extra, tolerance=agrees)


def contestants(task: Task, models: int, peers: list[str]) -> list[Contestant]:
    """The first is rfpcore with all threads. One model is trained by one thread."""
    every = sorted({cores(), 1}, reverse=True)
    found = [contestant("rfpcore", "", n, task, models) for n in (every if models > 1 else [1])]
    forms = {"jax": ["scan"], "torch": ["eager"], "sklearn": [""]}
    if models > 1:
        forms["torch"].append("vmap")
    if task is not T1:
        forms["sklearn"] = []
    for peer in peers:
        for form in forms.get(peer, []):
            # A loop of small steps gains nothing from threads; of 10,000 rows it does.
            counts = [1] if (peer, form) == ("torch", "eager") and task is not CHAIN else every
            counts = [1] if peer == "sklearn" else counts
            found += [contestant(peer, form, n, task, models) for n in counts]
    return found


def measure(task: Task, models: int, peers: list[str], quick: bool) -> list[dict[str, Any]]:
    print(f"{task.name}, {models} models", flush=True)
    taking_part = contestants(task, models, peers)
    found = window(taking_part, 2 if quick else 9, 0.05 if quick else 0.3)
    for one in found:
        if "ms" in one:
            one["step_us"] = 1e3 * one["ms"] / (task.chunk * models)
            one["gflops"] = 1e3 * task.mflops() / one["step_us"]
            print(f"    {one['name']:24}{one['step_us']:.3g} µs a step", flush=True)
    return found


def sweep(quick: bool) -> dict[str, Any]:
    """A thousand models of T1 in one call, in a process of its own: time and peak memory."""
    models, steps = (50, 100) if quick else (SWEEP_MODELS, SWEEP_STEPS)
    extra = {"task": T1.name, "models": models, "steps": steps}
    one = Contestant("rfpcore", None, "float32", cores(), module="benches.many.peer_rfpcore", extra=extra)
    peer = Peer(one)
    try:
        setup = peer.ask(**one.request())
        peer.ask(op="forget")  # what checking the result took
        [again] = peer.ask(op="round", seconds=0.0)["ms"]
        memory = peer.ask(op="memory")
    except PeerError as error:
        return {"error": str(error)}
    finally:
        peer.close()
    found = {"models": models, "steps": steps, "threads": cores(), "seconds": again / 1e3}
    found |= {"step_us": 1e3 * again / (models * steps), "peak_mb": memory["peak_mb"]}
    print(f"    {found['seconds']:.2f} s, peak {found['peak_mb']:.0f} MB", flush=True)
    return found | {"idle_mb": setup["idle_mb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    parser.add_argument("--peers", default=",".join(PEERS), help="such as rfpcore,torch")
    options = parser.parse_args()
    peers = options.peers.split(",")
    place = results.folder(options.quick)
    runs = [(T1, 16), (T1, 1), (T2, 16), (T2, 1), (CHAIN, 1)]
    found = {f"{task.name} × {models}": measure(task, models, peers, options.quick) for task, models in runs}
    print("sweep", flush=True)
    about = {name: {"shape": task.shape, "mflops": task.mflops()} for name, task in TASKS.items()}
    results.save(place, "many", found, quick=options.quick, sweep=sweep(options.quick), tasks=about)
    report.write(place)


if __name__ == "__main__":
    main()
