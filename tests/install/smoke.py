"""What an installed package must do: train, adapt, estimate an effect, save, load and answer from a shell.

It needs nothing but the package. What is for an extra is tried where that is installed.
"""

import importlib.util
import pickle
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression

import rfpcore
from rfpcore import causal
from rfpcore.datasets import make_policy, make_vee
from rfpcore.npiv import TwoStageLeastSquares

X, y, groups = make_vee(random_state=0)


def saved_and_loaded(model, folder):
    """Predicts the same from a file and from a pickle."""
    path = folder / "model.safetensors"
    model.save(path)
    for again in (rfpcore.load(path), pickle.loads(pickle.dumps(model))):
        assert (again.predict(X) == model.predict(X)).all()


def networks(folder):
    """One of each kind of model; the numbers of one, which are the same on every machine but for rounding."""
    model = rfpcore.RFPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0)
    model.fit(X, y, groups=groups)
    assert np.isfinite(model.adapt(X, y, groups).predict([[0.5]], groups=[3])).all()
    saved_and_loaded(model, folder)
    mixed = rfpcore.MixedRegressor(mean="linear").fit(X, y, groups)
    saved_and_loaded(mixed, folder)
    assert "Random effects" in mixed.summary()
    runs = rfpcore.fit_many(X, y, [rfpcore.Model((8,), n_epochs=2, seed=seed) for seed in range(3)])
    assert runs.predict(X).shape == (3, len(X), 1)
    return model.predict([[0.5], [2.0]])


def effect():
    """Of a policy by cluster; its true value is 1."""
    data = make_policy(n_clusters=20, selection=0.3, effect=1.0, random_state=0)
    found = causal.linear_effect(data.X, data.y, data.treatment, data.groups)
    assert abs(found.estimate - 1) < 4 * found.std_error
    return found


def shell(folder):
    """The program, as it is installed and as a module."""
    program = Path(sysconfig.get_path("scripts")) / "rfpcore"
    for command in ([program], [sys.executable, "-m", "rfpcore"]):
        said = subprocess.run([*command, "--version"], cwd=folder, check=True, capture_output=True, text=True)
        assert said.stdout == f"rfpcore {rfpcore.__version__}\n"


def figure():
    import matplotlib

    matplotlib.use("agg")
    data = make_policy(n_clusters=20, selection=0.0, random_state=0)
    model = causal.ClusterEffect(outcome=LinearRegression())
    model.fit(data.X[:, :1], data.y, data.treatment, data.groups).plot()


def instrument():
    random = np.random.default_rng(0)
    z, u = random.standard_normal((2, 200))
    fitted = TwoStageLeastSquares().fit(z + u, 2 * z + u, Z=z)
    assert np.isfinite(fitted.predict([[1.0]])).all()


def progress():
    model = rfpcore.RFPRegressor(hidden_layer_sizes=(4,), max_iter=5, verbose=1, random_state=0)
    model.fit(X, y, groups=groups)


def cluster():
    """Trained on workers, to the same bits."""
    from distributed import Client

    models = [rfpcore.Model((8,), n_epochs=2, seed=seed) for seed in range(3)]
    with Client(processes=False, dashboard_address=":0") as client:
        there = rfpcore.fit_many(X, y, models, scheduler=client)
    assert (there.predict(X) == rfpcore.fit_many(X, y, models).predict(X)).all()


def reference():
    """The same gradient by torch."""
    from rfpcore import torch_reference

    clusters = rfpcore.Clusters(X, y, groups)
    net = rfpcore.MLP(1, (4,))
    theta = net.init(random_state=0)
    setting = {"alpha": 0.5, "inner_steps": 1, "inner_lr": 0.05}
    _, ours = rfpcore.value_and_grad(net, theta, clusters, **setting)
    theirs = torch_reference.value_and_grad(net, theta, clusters, **setting).gradient
    assert np.allclose(ours, theirs.numpy(), rtol=1e-8, atol=1e-10)


# What an extra installs, and what it is for.
EXTRAS = {
    "distributed": cluster,
    "linearmodels": instrument,
    "matplotlib": figure,
    "rich": progress,
    "torch": reference,
}


def main():
    assert "site-packages" in rfpcore.__file__, f"{rfpcore.__file__} is not what was installed"
    with tempfile.TemporaryDirectory() as folder:
        predicted = networks(Path(folder))
        shell(folder)
    found = effect()
    present = [name for name in EXTRAS if importlib.util.find_spec(name)]
    for name in present:
        EXTRAS[name]()
    numbers = f"{predicted.round(6)}, {found.estimate:.6f} ({found.std_error:.6f})"
    print(f"Python {sys.version.split()[0]}, with {', '.join(present) or 'no extras'}: {numbers}")


if __name__ == "__main__":
    main()
