"""Ctrl-C during `fit_many`: what is finished has been handed over, and the call is left within a moment."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from rfpcore.many import Model, fit_many

X = np.random.default_rng(0).normal(size=(2000, 8))
lengths = [1, 1] + [10**8] * 4
models = [Model((64, 64), n_steps=n, seed=i, batch_size={batch_size}) for i, n in enumerate(lengths)]
seen = []

def keep(index, result):
    seen.append(index)
    if len(seen) == 2:
        print("two are done", flush=True)

try:
    fit_many(X, X[:, 0], models, on_finished=keep, n_jobs=2)
except KeyboardInterrupt:
    print("interrupted", sorted(seen), flush=True)
# The same threads go on with the next call.
print(fit_many(X, X[:, 0], models[:2]).status, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("batch_size", [32, None])
def test_interrupt(batch_size):
    command = [sys.executable, "-c", SCRIPT.format(batch_size=batch_size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "two are done\n"
        process.send_signal(signal.SIGINT)
        # That it comes to an end at all is the check: the models left would take hours.
        rest, _ = process.communicate(timeout=60)
    assert rest.splitlines() == ["interrupted [0, 1]", "['finished' 'finished']"]
    assert process.returncode == 0
