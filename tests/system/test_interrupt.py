"""Ctrl-C during a fit, fits in threads, and fits in forked processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
from numpy.testing import assert_array_equal

from rfpcore import RFPRegressor
from rfpcore.datasets import make_vee

X, Y, GROUPS = make_vee(random_state=0)


def fit(seed=0, n_jobs=2):
    model = RFPRegressor(hidden_layer_sizes=(16,), max_iter=40, random_state=seed, n_jobs=n_jobs)
    return model.fit(X, Y, GROUPS).theta_


def test_two_fits_at_once():
    expected, found = [fit(seed) for seed in range(2)], [None] * 2
    gate = threading.Barrier(2)

    def work(seed):
        gate.wait()
        found[seed] = fit(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert_array_equal(found, expected)


def fit_into(queue):
    queue.put(fit())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fit_after_fork():
    """A child starts its own threads: those of its parent, in use before, are not there."""
    expected = fit()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=fit_into, args=[queue])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: exactly what is tested
        child.start()
    assert_array_equal(queue.get(timeout=60), expected)
    child.join(60)
    assert child.exitcode == 0
    assert_array_equal(fit(), expected)


INTERRUPTED = """
import threading, time
from rfpcore import RFPRegressor
from rfpcore.datasets import make_vee

X, y, groups = make_vee({n_clusters}, 20000 // {n_clusters}, random_state=0)
model = RFPRegressor(hidden_layer_sizes=(64, 64), inner_lr=0.01, max_iter=3, random_state=0).fit(X, y, groups)
before = dict(vars(model))
model.set_params(max_iter=10**6, {params})
before |= model.get_params()
within = threading.Event()

def announce():
    within.wait()
    print("inside", flush=True)

for _ in range(3):
    within.clear()
    threading.Thread(target=announce).start()
    try:
        within.set()
        model.{method}(X, -y, groups)
        print("finished", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
same = vars(model).keys() == before.keys() and all(vars(model)[name] is before[name] for name in before)
print("unchanged" if same else "changed", flush=True)
model.set_params(max_iter=3, inner_steps=1, early_stopping=False).fit(X, y, groups)
print("usable", flush=True)
"""

FITS = {
    "fit": ("fit", "inner_steps=2"),
    "one cluster": ("fit", "inner_steps=2"),
    "watched": ("fit", "early_stopping=True, verbose=1"),
    "auto": ("fit", "inner_lr='auto'"),
    "partial_fit": ("partial_fit", "inner_steps=20000, inner_lr=1e-6"),
}


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_is_answered_at_once_and_changes_nothing(name):
    method, params = FITS[name]
    script = INTERRUPTED.format(method=method, params=params, n_clusters=1 if name == "one cluster" else 100)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True) as child:
        try:
            delays = []
            for _ in range(3):
                assert child.stdout.readline() == "inside\n"
                sent = time.monotonic()
                child.send_signal(signal.SIGINT)
                delays.append(float(child.stdout.readline()) - sent)
            assert child.stdout.readline() == "unchanged\n"
            assert child.stdout.readline() == "usable\n"
        finally:
            child.kill()
    # The least of three: on a busy machine any one of them may have waited for a core.
    assert min(delays) < 0.1
