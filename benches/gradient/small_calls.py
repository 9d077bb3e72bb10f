"""What one small call costs from Python, in µs: one cluster, 10 rows, 1-8-1, k 1, with ready arrays."""

import argparse
import time
from collections.abc import Callable
from statistics import median

from .. import report, results
from .workloads import ALPHA, ETA, Workload, problem

WORK = Workload("small", 1, 10, 1, (8,), 1)


def microseconds(call: Callable[[], object], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began) / 1e3)
    return sorted(times)


def measure(dtype: str, calls: int) -> dict[str, dict[str, float]]:
    import rfpcore
    from rfpcore import _rfpcore

    theta, X, y, _ = problem(WORK, dtype)
    net, data = rfpcore.MLP(WORK.n_inputs, WORK.hidden), rfpcore.Clusters(X, y)
    handle = data.handle(net, "squared", theta.dtype)
    inner, architecture = _rfpcore.Inner(WORK.steps, ETA), net._architecture
    forms: dict[str, Callable[[], object]] = {
        "rfpcore.value_and_grad": lambda: rfpcore.value_and_grad(net, theta, data, ALPHA, WORK.steps, ETA),
        "of it the extension": lambda: _rfpcore.value_and_grad(
            architecture, theta, handle, ALPHA, inner, "squared"
        ),
    }
    found = {}
    for form, call in forms.items():
        microseconds(call, calls // 10)
        times = microseconds(call, calls)
        found[form] = {"median": median(times), "min": times[0], "p90": times[len(times) * 9 // 10]}
        print(f"{dtype} {form}: {found[form]['median']:.2f} µs", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    options = parser.parse_args()
    place = results.folder(options.quick)
    found = {dtype: measure(dtype, 2000 if options.quick else 50_000) for dtype in ("float32", "float64")}
    results.save(place, "small", found, quick=options.quick)
    report.write(place)


if __name__ == "__main__":
    main()
