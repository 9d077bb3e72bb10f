"""
A thousand networks before lunch
================================

How sure is a network of what it says? Train it again from other starting weights, on other draws of the
rows, with other strengths of regularization: ten, a hundred, a thousand times. ``fit_many`` trains them
all in one call, on all cores, with nothing to compile.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rfpcore.many import Model, fit_many
from rfpcore.optimizers import Adam
from rfpcore.regularize import L2

random = np.random.default_rng(0)
age = random.uniform(20, 65, 250)
wage = 10 + 12 * np.exp(-(((age - 48) / 16) ** 2)) + random.normal(0, 2.5, 250)
frame = pd.DataFrame({"age": age, "wage": wage})
X = ((frame[["age"]] - 42) / 13).to_numpy()
y = ((frame["wage"] - frame["wage"].mean()) / frame["wage"].std()).to_numpy()
frame.head()

# %%
# A model is a value
# ------------------
# What a network is and how it is trained, in one line; a list of them is what to train. Here the
# *bootstrap*: a thousand networks, each on rows drawn with replacement from its own seed.
models = [
    Model((16,), optimizer=Adam(0.01), regularization=L2(1e-4), n_epochs=40, seed=seed)
    for seed in range(1000)
]
rows = [random.integers(0, len(y), len(y)) for _ in models]
result = fit_many(X, y, models, rows=rows)

grid = np.linspace(20, 65, 90)
curves = result.predict(((grid - 42) / 13)[:, None])[:, :, 0] * frame["wage"].std() + frame["wage"].mean()
print(curves.shape, "networks, ages")

# %%
# What they say
# -------------
low, middle, high = np.quantile(curves, [0.025, 0.5, 0.975], axis=0)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.scatter(age, wage, s=8, color="0.75")
ax.plot(grid, curves[::100].T, color="#0072b2", linewidth=0.6, alpha=0.6)
ax.fill_between(grid, low, high, color="#d55e00", alpha=0.25, linewidth=0, label="95 % of the networks")
ax.plot(grid, middle, color="#d55e00", label="their median")
ax.set(xlabel="age", ylabel="wage")
ax.legend(frameon=False)

# %%
# Every model is the same to the bit alone or among others, in any order, on any number of threads.
# Grids of settings in a file that survives an interruption are ``rfpcore.sweep``; regularizers, early
# stopping, records of training: :doc:`/many` and :doc:`/regularization`.
