"""Memory that is not to be had: an exception that says how much is needed for what, and no abort."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from rfpcore import MLP, _rfpcore
from rfpcore.many import Model

LIMITED = """
import resource, sys
import numpy as np
from rfpcore import MLP, Clusters, MLPRegressor, RFPRegressor, hvp, value_and_grad
from rfpcore import _rfpcore
from rfpcore.many import Model, Record, fit_many
from rfpcore.npiv import MeanField
from rfpcore.optimizers import SGD

# What the process has already, and 300 MB more.
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 300 * 10**6,) * 2)
random = np.random.default_rng(0)
X, y, groups = random.normal(size=(50, 1)), random.normal(size=50), np.arange(50) % 5
data = Clusters(X, y, groups)
wide, deep = MLP(1, (1500, 1500)), MLP(1, (300, 300))
n_wide = wide.n_parameters
medium = MLP(1, (600, 600))
n_medium = medium.n_parameters
wider = MLP(1, (2500, 2500))
n_wider = wider.n_parameters


def training(n_steps):
    inner = _rfpcore.Inner(1, 0.01)
    optimizer = _rfpcore.Optimizer(SGD(0.1))
    theta = np.zeros(deep.n_parameters)
    return _rfpcore.Trainer(deep._architecture, theta, 0.5, inner, "squared", optimizer).advance(
        data.handle(deep, "squared", theta.dtype), n_steps
    )


CASES = {
    "wide objective": lambda: value_and_grad(wide, np.zeros(n_wide), data, inner_steps=20),
    "many inner steps": lambda: value_and_grad(medium, np.zeros(n_medium), data, inner_steps=10**6),
    "wide product": lambda: hvp(wider, np.zeros(n_wider), np.zeros(n_wider), data),
    "many outer steps": lambda: training(10**12),
    "wide regressor": lambda: RFPRegressor(hidden_layer_sizes=(1500, 1500), inner_steps=20).fit(X, y, groups),
    "wide network": lambda: MLPRegressor(hidden_layer_sizes=(3000, 3000)).fit(X, y),
    "wide batch": lambda: fit_many(np.zeros((3000, 1)), np.zeros(3000), Model((10**6,), n_steps=1)),
    "recorded parameters": lambda: fit_many(
        X, y, Model((300, 300), n_steps=10**5), record=Record(every=1, thetas=True)
    ),
    "recorded intervals": lambda: fit_many(
        X, y, Model((300, 300), n_steps=10**5), record=Record(every=2, intervals=True)
    ),
    "noise": lambda: _rfpcore.particle_noise(0, "noise x", 0, 10**12),
    "rows": lambda: _rfpcore.particle_rows(0, "rows", 0, 10, 10**12),
    "masks": lambda: _rfpcore.dropout_mask((10**12,), (0.5,), 0, 0),
    "draws": lambda: _rfpcore.draws(Model((2,), n_steps=1, batch_size=2).kernel(MLP(1, (2,))), 2**32 - 1, 0),
    "values": lambda: MeanField(1, 1).values(np.zeros((100000, 3)), np.zeros((100000, 1))),
}
for name, case in CASES.items():
    try:
        case()
        print(name, "finished", sep="|")
    except MemoryError as error:
        print(name, error, sep="|")
sys.stdout.flush()
one = value_and_grad(deep, deep.init(0), data, n_jobs=1)
many = value_and_grad(deep, deep.init(0), data, n_jobs=16)
print("afterwards", one[0] == many[0] and (one[1] == many[1]).all(), sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_no_memory_is_an_error_that_says_how_much_for_what():
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    found = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, env=environment)
    lines = dict(line.split("|", 1) for line in found.stdout.splitlines())
    assert found.returncode == 0, found.stderr[-2000:]
    assert lines.pop("afterwards") == "True"
    assert len(lines) == 14
    for name, message in lines.items():
        kernel = re.search(r"not enough memory: \d+ bytes are needed for [a-z]", message)
        assert kernel or "Unable to allocate" in message, f"{name}: {message}"
        assert "scratch" not in message.replace("the scratch of one thread", ""), "what is it for?"


def test_absurd_counts_are_refused_with_the_limit():
    with pytest.raises(ValueError, match="hidden_layer_sizes has 1000000 layers; at most 1000 are possible"):
        MLP(1, (1,) * 10**6)
    net = MLP(300, (300, 300))
    with pytest.raises(ValueError, match="the number of threads is 65535; at most 4096 is possible"):
        _rfpcore.predict(net._architecture, net.init(0), np.zeros((3000, 300)), n_threads=65535)
    kernel = Model((2,), n_steps=1, batch_size=2).kernel(MLP(1, (2,)))
    with pytest.raises(
        ValueError, match="the number of rows is 1000000000000; at most 4294967295 is possible"
    ):
        _rfpcore.draws(kernel, 10**12, 0)
    with pytest.raises(ValueError, match="the number of rows must be at least 1, got 0"):
        _rfpcore.draws(kernel, 0, 3)


def test_the_environment_is_held_to_the_same_limit():
    script = (
        "import numpy as np, rfpcore\n"
        "net = rfpcore.MLP(300, (300, 300))\n"
        "try: net.predict(net.init(0), np.zeros((3000, 300)))\n"
        "except ValueError as error: print(error)"
    )
    environment = os.environ | {"RAYON_NUM_THREADS": "999999999999"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == "RAYON_NUM_THREADS is 999999999999; at most 4096 is possible", found.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of a process")
def test_pools_that_were_used_long_ago_end():
    script = (
        "import os, time, numpy as np, rfpcore\n"
        "net = rfpcore.MLP(300, (100, 100))\n"
        "theta, X = net.init(0), np.zeros((3000, 300))\n"
        "for n_jobs in range(2, 40): net.predict(theta, X, n_jobs=n_jobs)\n"
        "deadline = time.monotonic() + 30\n"
        "while len(os.listdir('/proc/self/task')) > 130 and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    # Three pools are kept, the largest of 38 threads; all 38 together had 741.
    assert int(found.stdout) < 130, found.stderr
