"""Every script of this folder, and RESULTS.md: the paper's claims, what came out, and the time it took.

    python examples/implicit/run_all.py            # figures and numbers in implicit/, and RESULTS.md here
    python examples/implicit/run_all.py --quick    # small sizes, nothing but figures and numbers

It goes on where it was stopped: finished cells are read back from the files of numbers.
"""

import argparse
import importlib
import time
from collections.abc import Sequence
from pathlib import Path

from cells import Outcome, run

SCRIPTS = {
    "figures_1_2_idea": "Figures 1, 2",
    "section_2_ridge": "Section 2.1",
    "section_2_retraining": "Section 2.1",
    "figure_3_elastic_net": "Figure 3",
    "figure_4_early_stopping": "Figure 4",
    "section_3_linear_dropout": "Section 3",
    "figure_5_dropout": "Figure 5",
    "figure_6_step_size": "Figure 6",
    "figure_7_bootstrap": "Figure 7",
    "appendix_a_curvature": "Appendix A",
    "appendix_b_bound": "Appendix B",
    "appendix_c_epochs": "Appendix C",
}
ALLOCATED = {
    "figure_3_elastic_net": "8 jobs of 1 GPU, 4 CPUs, up to 4 h each",
    "figure_4_early_stopping": "2 CPUs: 60 min a matrix rule, 240 min the trace",
    "figure_5_dropout": "8 jobs of 1 GPU, 4 CPUs, up to 4 h each",
    "figure_6_step_size": "1 GPU, 4 CPUs, 240 min",
    "figure_7_bootstrap": "2 CPUs, 60 min a rule",
}


def table(outcomes: dict[str, Outcome]) -> str:
    """Claims and times as Markdown."""
    lines = [
        '# Experiments of "Estimating implicit regularization in deep learning"',
        "",
        "Written by `run_all.py`; arXiv:2605.05436. The scripts say what each is, and where it differs.",
        '"(ours)" marks what the paper does not claim; what it only assumes or implies is said.',
        "",
        "| where | claim | here | verdict |",
        "| --- | --- | --- | --- |",
    ]
    for name, outcome in outcomes.items():
        for claim in outcome.claims:
            cells = (f"{SCRIPTS[name]}, `{name}`", claim.paper, claim.here, claim.verdict)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [
        "",
        "## Time",
        "",
        "Processor seconds of all cells, as measured; appendix I of the paper says what was allocated.",
        "",
        "| script | processor seconds | the paper's allocation |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | {one.seconds:.0f} | {ALLOCATED.get(name, '')} |" for name, one in outcomes.items()
    ]
    total = sum(one.seconds for one in outcomes.values())
    return "\n".join([*lines, f"| together | {total:.0f} | |", ""])


def main(arguments: Sequence[str] | None = None) -> dict[str, Outcome]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; RESULTS.md stays as it is")
    parser.add_argument("--out", default="implicit", help="folder of figures and numbers (default implicit)")
    options = parser.parse_args(arguments)
    start, outcomes = time.perf_counter(), {}
    for name in SCRIPTS:
        print(f"\n{SCRIPTS[name]}: {name}")
        given = ["--out", options.out] + (["--quick"] if options.quick else [])
        outcomes[name] = run(importlib.import_module(name).SCRIPT, given)
    print(f"\nAll of it took {time.perf_counter() - start:.0f} seconds.")
    if not options.quick:
        Path(__file__).with_name("RESULTS.md").write_text(table(outcomes))
    return outcomes


if __name__ == "__main__":
    main()
