"""
Did the law raise homicides?
============================

Between 2006 and 2010, 21 states of the US passed a "castle doctrine" law, which widens the right to use
force in self-defence. Cheng and Hoekstra (2013) report that homicides rose by about 8 %. We have a data
frame: a row for each state and year, 2000 to 2010. The data come with the package ``causaldata``: ``pip
install 'rfpcore[examples]'``.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from causaldata import castle

from rfpcore.causal import EventStudyDisplay, StaggeredEffect

frame = castle.load_pandas().data
frame["log_homicide"] = np.log(frame["homicide"])
frame[["sid", "year", "log_homicide", "post", "popwt"]].head()

# %%
# One call
# --------
# Columns are named: the outcome, the treatment (0 before the law, 1 since), the cluster, the time.
# Covariates have to be named, too, since a column that the law moved is no covariate; ``[]`` takes
# none. States adopt in different years (a *staggered* policy), so each group of states that adopt
# together is compared with those that have no law yet: the *group-time effects* of Callaway and
# Sant'Anna (2021), which are then averaged.
model = StaggeredEffect()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(frame, "log_homicide", "post", "sid", "year", covariates=[], sample_weight="popwt")
print(model.summary())

# %%
# The average effect is .075, on the logarithm: 7.8 % more homicides, the published number. But the
# interval includes zero by far. Standard errors come from the *jackknife over clusters*: every state is
# left out once, and all is computed again without it. With 50 states that is honest where errors that
# take estimated models for known are too short.
#
# "By arm" in the summary: states with the law and states without are left out in turn, each set with a
# variance of its own.
#
# What rests on a single state has no error
# -----------------------------------------
# One state adopted in 2006, and one in 2010. How far effects differ between states cannot be told from
# one. So the errors are ``nan``, and a warning says which. Stars that a program prints there mean
# nothing.
print(caught[0].message)

# %%
# The event study
# ---------------
# Effects by years since adoption; those before adoption should be zero, for there was no law yet. Bars
# are 95 % intervals of each effect by itself. The *band* holds all effects at once in 95 % of samples;
# look at it when looking at the whole picture.
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
display = EventStudyDisplay.from_estimator(model).plot(ax)

# %%
# How much hangs on the large states?
# -----------------------------------
# Weighted by population, Florida counts for much. With all states alike little is left:
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    alike = StaggeredEffect().fit(frame, "log_homicide", "post", "sid", "year", covariates=[])
print(f"weighted by population  {model.effect_.estimate:.3f} ({model.effect_.std_error:.3f})")
print(f"all states alike        {alike.effect_.estimate:.3f} ({alike.effect_.std_error:.3f})")

# %%
# So: the published number can be had, and these data do not tell it from no effect. :doc:`/effects` has
# the methods, what their intervals cover, and when each fails.
