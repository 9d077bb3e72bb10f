"""
What does my dropout do?
========================

Dropout leaves out inputs or units at random during training, and networks generalise better. It acts
*as if* a penalty had been added to the loss. Which one, how strong, and how sure is that? For linear
regression the answer is known, so we can see whether it comes out: dropping inputs acts like a ridge
penalty in which every coefficient counts by the variance of its column.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rfpcore import Clusters
from rfpcore.implicit import ActivationRidge, Equations, GradientMatching
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD, Cosine
from rfpcore.regularize import L2, Dropout

random = np.random.default_rng(0)
scales = np.array([0.3, 0.6, 1.0, 2.0])
frame = pd.DataFrame(random.standard_normal((300, 4)) * scales, columns=["a", "b", "c", "d"])
outcome = frame @ [1.0, -1.0, 0.5, 0.5] + random.standard_normal(300)
frame.assign(outcome=outcome).head()

# %%
# Train with dropout
# ------------------
# A linear model whose inputs are each left out with probability .3 in every step:
rate = 0.3
model = Model(
    (),
    optimizer=SGD(0.02, schedule=Cosine(5000)),
    regularization=Dropout(0.0, mask="row", inputs=rate),
    n_steps=5000,
)
run = fit_many(frame.to_numpy(), outcome.to_numpy(), model).results[0]

# %%
# What do the masks add?
# ----------------------
# At the trained weights, the mean gradient over many masks less the gradient without: that is the
# gradient of the penalty nobody wrote down. Two candidates are fitted to it by least squares: the plain
# ridge ½|θ|², and the ridge in which columns count by their mean square.
data = Clusters(frame.to_numpy(), outcome.to_numpy())
masks = Equations.dropout(run.net, run.theta, data, 0.0, inputs=rate, n_draws=4000, random_state=0)
weighted = GradientMatching([ActivationRidge(run.net, data)]).fit(masks)
plain = GradientMatching([L2(1)]).fit(masks)
print(f"weighted ridge: coefficient {weighted.coef_[0]:.3f}, explains {weighted.explained_:.2f}")
print(f"plain ridge:    coefficient {plain.coef_[0]:.3f}, explains {plain.explained_:.2f}")
print(f"theory, p / (1 - p):        {rate / (1 - rate):.3f}")

# %%
# The coefficient is the one of theory (Wager, Wang and Liang, 2013). The plain ridge has a coefficient,
# too, and a small error; what tells that it is the wrong penalty is how little of the masks' gradient
# it *explains*.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
place = np.arange(4)
shown = (
    ("what the masks add", masks.targets[0], "0.4"),
    ("weighted ridge", weighted.gradient(run.theta), "#0072b2"),
    ("plain ridge", plain.gradient(run.theta), "#d55e00"),
)
for shift, (label, gradient, colour) in zip((-0.25, 0, 0.25), shown, strict=True):
    ax.bar(place + shift, np.ravel(gradient)[:4], width=0.25, color=colour, label=label)
ax.axhline(0, color="black", linewidth=0.8)
ax.set_xticks(place, frame.columns)
ax.set(xlabel="column", ylabel="gradient of the penalty")
ax.legend(frameon=False)

# %%
# For deep networks, mini-batches, early stopping, and how sure an estimate is: :doc:`/implicit`. What
# of this holds in experiments: :doc:`/reports/implicit`.
