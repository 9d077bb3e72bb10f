"""Threads, forked and spawned processes, and Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import rfpcore
from rfpcore.many import Model, fit_many


def compute(seed, n_jobs=2):
    """Some gradient steps of a problem that follows from the seed."""
    random = np.random.default_rng(seed)
    groups = random.integers(0, 50, 1000)
    data = rfpcore.Clusters(random.standard_normal((1000, 5)), random.standard_normal(1000), groups)
    net = rfpcore.MLP(5, (16, 16))
    theta = net.init(seed)
    for _ in range(5):
        theta -= 0.01 * rfpcore.value_and_grad(net, theta, data, n_jobs=n_jobs)[1]
    return theta


def test_two_threads_at_once():
    expected = [compute(seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        found[seed] = compute(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert_array_equal(found, expected)


def test_threads_may_share_clusters_not_seen_before():
    random = np.random.default_rng(0)
    data = rfpcore.Clusters(random.standard_normal((500, 3)), random.standard_normal(500), np.arange(500) % 9)
    net = rfpcore.MLP(3, (8,))
    theta, found, gate = net.init(0), [None] * 4, threading.Barrier(4)

    def work(i):
        gate.wait()
        found[i] = rfpcore.value_and_grad(net, theta, data)[1]

    threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert_array_equal(found, np.broadcast_to(found[0], (4, len(theta))))


def test_a_short_call_does_not_wait_for_a_long_one():
    """Both want the same two threads, of which the long call has taken both."""
    random = np.random.default_rng(0)
    X, net = random.standard_normal((5000, 10)), rfpcore.MLP(10, (64, 64))
    lengths, order, within = [1, 30_000, 30_000], [], threading.Event()
    models = [Model((64, 64), n_steps=length) for length in lengths]

    def train():
        fit_many(X, X[:, 0], models, n_jobs=2, on_finished=lambda index, result: within.set())
        order.append("long")

    thread = threading.Thread(target=train)
    thread.start()
    within.wait(60)
    net.predict(net.init(0), X, n_jobs=2)
    order.append("short")
    thread.join(60)
    assert order == ["short", "long"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_child_processes(method, n_jobs):
    """A child works although its parent's thread pool, which a fork does not bring along, was in use."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    expected = compute(0, n_jobs)
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: exactly what is tested
        with context.Pool(2) as pool:
            found = pool.starmap_async(compute, [(0, n_jobs)] * 2).get(timeout=60)
    assert_array_equal(found, [expected] * 2)
    assert_array_equal(compute(0, n_jobs), expected)  # and the parent goes on


INTERRUPTED = """
import sys, threading, time
import numpy as np, rfpcore

sizes = {sizes}
groups = np.repeat(np.arange(len(sizes)), sizes)
random = np.random.default_rng(0)
data = rfpcore.Clusters(random.standard_normal((len(groups), 8)), random.standard_normal(len(groups)), groups)
net = rfpcore.MLP(8, (64, 64))
theta = net.init(0)
rfpcore.value_and_grad(net, theta, data, inner_steps=0)

def announce():
    # This thread runs only because the call below lets go of the interpreter.
    print("inside", flush=True)

for _ in range(3):
    try:
        threading.Timer(0.2, announce).start()
        {call}
        print("finished", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
value, grad = rfpcore.value_and_grad(net, theta, data, inner_steps=0)
print("usable" if np.isfinite(grad).all() else "broken", flush=True)
"""

LONG_CALLS = {
    "value_and_grad": "rfpcore.value_and_grad(net, theta, data, inner_steps=3000, inner_lr=1e-4)",
    "adapt": "rfpcore.adapt(net, theta, data, inner_steps=10000, inner_lr=1e-4)",
    "objective": "rfpcore.objective(net, theta, data, inner_steps=3000, inner_lr=1e-4, n_jobs=1)",
    "curvature": "rfpcore.curvature(net, theta, data, n_iterations=10**6)",
}


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("call", LONG_CALLS)
@pytest.mark.parametrize("sizes", ["[100] * 200", "[20000]"], ids=["many", "one"])
def test_ctrl_c_is_answered_within_a_tenth_of_a_second(call, sizes):
    script = INTERRUPTED.format(sizes=sizes, call=LONG_CALLS[call])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        try:
            delays = []
            for _ in range(3):
                assert child.stdout.readline() == "inside\n"
                sent = time.monotonic()
                child.send_signal(signal.SIGINT)
                delays.append(float(child.stdout.readline()) - sent)
            assert child.stdout.readline() == "usable\n"
        finally:
            child.kill()
    # The least of three: on a busy machine any one of them may have waited for a core.
    assert min(delays) < 0.1
