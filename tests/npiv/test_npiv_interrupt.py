"""Ctrl-C within long linear algebra: answered before it ends, and the estimator is as it was."""

import os
import signal
import subprocess
import sys

import pytest

from rfpcore.npiv._background import interruptible

SCRIPT = """
import threading, time
import numpy as np
from rfpcore.npiv import {name}
from rfpcore.npiv import {module} as module

z, u = np.random.default_rng(0).standard_normal((2, {n}))
model = {name}(random_state=0)
began = time.process_time()
model.fit(z + u, np.sin(z) + u, z)
print(time.process_time() - began, flush=True)
before = dict(vars(model))
work = module.{work}

def announced(*args):
    print("inside", flush=True)
    return work(*args)

module.{work} = announced
for _ in range(3):
    began = time.process_time()
    try:
        model.fit(z + u, -np.sin(z) + u, z)
        print("finished", flush=True)
    except KeyboardInterrupt:
        print(time.process_time() - began, flush=True)
    for thread in threading.enumerate():  # what goes on unseen
        if thread is not threading.current_thread():
            thread.join()
same = vars(model).keys() == before.keys() and all(vars(model)[name] is before[name] for name in before)
print("unchanged" if same else "changed", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_does_not_wait_for_linear_algebra():
    """Nearly all of a fit is one call: answered only at its end, it would cost as much as the fit."""
    script = SCRIPT.format(name="KernelIV", module="kernel", work="_solve", n=1600)
    pipe = subprocess.PIPE
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=one_thread) as child:
        try:
            whole = float(child.stdout.readline())
            spent = []
            for _ in range(3):
                assert child.stdout.readline() == "inside\n"
                child.send_signal(signal.SIGINT)
                spent.append(float(child.stdout.readline()))
            assert child.stdout.readline() == "unchanged\n"
        finally:
            child.kill()
    # Processor time, and the least of three: on a busy machine the signal itself may come late.
    assert min(spent) < 0.5 * whole


def test_what_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        interruptible(divmod, 1, 0)
