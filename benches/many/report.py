"""The section of RESULTS.md on training many small networks."""

from typing import Any

from ..peers import ratio
from ..results import number, table

Results = dict[str, Any]

TEXT = """\
Ordinary training on mini-batches, cross-entropy, tanh, float32; microseconds an optimizer step of a model.
rfpcore is `fit_many`, which draws its own batches, as scikit-learn's `MLPClassifier` does; JAX scans all
steps in one compiled call with the models under vmap, on batches drawn beforehand; torch is the loop that
everyone writes (eager), or all models under torch.func's vmap. The chain, of whole batches, was checked to
have the same parameters after ten steps."""


def many(results: Results) -> str:
    section = results.get("many")
    if not section:
        return ""
    rows = []
    for run, contestants in section["found"].items():
        about = section["tasks"][run.split(" ")[0]]
        own = next((one for one in contestants if "ms" in one), None)
        for one in contestants:
            if "error" in one:
                rows.append([run, one["name"], one["error"], "", "", ""])
                continue
            times = f"{ratio(one, own):.1f}" if own else "–"
            cells = [f"{number(one['step_us'])}", number(one["gflops"]), times, number(one["first_ms"])]
            rows.append([f"{run}: {about['shape']}", one["name"], *cells])
    head = ["", "peer, form, threads", "µs a step a model", "GFLOP/s", "× the first line", "first call, ms"]
    return f"## Many networks\n\n{TEXT}\n\n" + table(head, rows) + _sweep(section.get("sweep", {}))


def _sweep(found: dict[str, Any]) -> str:
    if "seconds" not in found:
        return f"\n\nThe sweep failed: {found['error']}" if "error" in found else ""
    time = f"{found['seconds']:.2f} s, {number(found['step_us'])} µs a step a model"
    memory = f"{number(found['peak_mb'])} MB, of which {number(found['idle_mb'])} MB an idle import"
    return (
        f"\n\n{found['models']} models of T1, {found['steps']} steps each, in one call with "
        f"{found['threads']} threads: {time}; peak memory {memory}."
    )
