"""What an installed wheel must do: train, adapt, estimate an effect, save and load. Needs nothing else."""

import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

import rfpcore
from rfpcore.causal import linear_effect
from rfpcore.datasets import make_policy, make_vee

X, y, groups = make_vee(random_state=0)
model = rfpcore.RFPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0).fit(X, y, groups=groups)
predicted = model.predict([[0.5], [2.0]])
adapted = model.adapt(X, y, groups).predict([[0.5]], groups=[3])
assert np.isfinite(predicted).all()
assert np.isfinite(adapted).all()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.safetensors"
    model.save(path)
    assert (rfpcore.load(path).predict(X) == model.predict(X)).all()
assert (pickle.loads(pickle.dumps(model)).predict(X) == model.predict(X)).all()

data = make_policy(n_clusters=20, selection=0.3, effect=1.0, random_state=0)
effect = linear_effect(data.X, data.y, data.treatment, data.groups)
runs = rfpcore.fit_many(X, y, [rfpcore.Model((8,), n_epochs=2, seed=seed) for seed in range(3)])
assert runs.predict(X).shape == (3, len(X), 1)
print(f"{sys.version.split()[0]}: {predicted.round(6)}, {effect.estimate:.6f} ({effect.std_error:.6f})")
