"""The kernel against `rfpcore.torch_reference` on a CUDA device: whether they agree, and their times.

Needs an NVIDIA GPU, and torch built for CUDA. Writes its section of RESULTS.md.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from .. import report, results
from .workloads import ALPHA, ETA, WORKLOADS, Workload, problem

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
"""The project's promise: the largest difference of an entry, relative to the largest entry."""


def milliseconds(call: Callable[[], Any], calls: int) -> float:
    call()
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - began))
    return median(times)


def cross_check(work: Workload, dtype: str, calls: int) -> dict[str, Any]:
    import torch

    import rfpcore
    from rfpcore import torch_reference

    theta, X, y, sizes = problem(work, dtype)
    net = rfpcore.MLP(work.n_inputs, work.hidden, work.n_outputs, work.activation)
    data = rfpcore.Clusters(X, y, np.repeat(np.arange(len(sizes)), sizes))
    kind = {"device": "cuda", "dtype": getattr(torch, dtype)}
    risk = torch_reference.risk(net, data, work.steps, **kind)
    at = [torch.as_tensor(a, **kind) for a in (theta, ETA, ALPHA)]

    def reference() -> Any:
        found = torch.func.grad_and_value(risk)(*at)
        torch.cuda.synchronize()
        return found

    def kernel() -> tuple[float, np.ndarray]:
        return rfpcore.value_and_grad(net, theta, data, ALPHA, work.steps, ETA)

    own, theirs = kernel()[1].astype(float), reference()[0].double().cpu().numpy()
    return {
        "workload": work.name,
        "dtype": dtype,
        "difference": float(np.abs(own - theirs).max() / np.abs(own).max()),
        "kernel_ms": milliseconds(kernel, calls),
        "reference_ms": milliseconds(reference, calls),
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("torch is not installed: the GPU cross-check needs it (pip install 'rfpcore[torch]')")
    if not torch.cuda.is_available():
        sys.exit("no CUDA device is visible to torch: the GPU cross-check has not been run")
    torch.backends.cuda.matmul.allow_tf32 = False  # TF32 keeps ten bits
    place = results.folder(options.quick)
    found = []
    for work in WORKLOADS.values():
        for dtype in TOLERANCE:
            found.append(cross_check(work, dtype, 5 if options.quick else 30))
            print(found[-1], flush=True)
            torch.cuda.reset_peak_memory_stats()
    results.save(place, "gpu", found, quick=options.quick, device=torch.cuda.get_device_name())
    report.write(place)
    wrong = [f for f in found if not f["difference"] <= TOLERANCE[f["dtype"]]]
    if wrong:
        sys.exit(f"kernel and reference differ: {wrong}")


if __name__ == "__main__":
    main()
