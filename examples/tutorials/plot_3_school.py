"""
Predict a new school from ten pupils
====================================

Scores of pupils in forty schools; homework helps, schools differ for reasons that nobody recorded. A
school that was not in the data reports ten of its pupils. What will the others have?
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rfpcore import MixedRegressor

random = np.random.default_rng(0)
school = np.repeat(np.arange(41), random.integers(10, 30, 41))
hours = random.gamma(4, 1.5, len(school))
level, slope = random.normal(0, 12, 41)[school], random.normal(0, 2, 41)[school]
score = 400 + 80 * (1 - np.exp(-hours / 4)) + level + slope * (hours - 6)
score += random.normal(0, 8, len(school))
frame = pd.DataFrame({"school": school, "hours": hours, "score": score.round(1)})
new, frame = frame[frame["school"] == 40], frame[frame["school"] < 40]
frame.sample(5, random_state=0)

# %%
# Fit
# ---
# ``MixedRegressor`` is a *mixed model*: one function for all schools, of any shape, and for each school
# a deviation from it. How large such deviations are is estimated on schools left out.
model = MixedRegressor().fit(frame[["hours"]], frame["score"], frame["school"])
print(model.summary())

# %%
# The *intraclass correlation* is the share of what is left beside the curve that is the schools'.
#
# A school never seen
# -------------------
# Nothing known: the population's curve. After ten pupils: ``adapt``, without another fit. What ten
# pupils say is weighed against what schools usually differ by, so that one odd pupil does not count for
# a school.
ten, others = new[:10], new[10:]
adapted = model.adapt(ten[["hours"]], ten["score"])

grid = pd.DataFrame({"hours": np.linspace(0.5, 14, 100)})
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, fitted, title in zip(axes, (model, adapted), ("nothing known", "ten pupils known"), strict=True):
    ax.fill_between(grid["hours"], *fitted.predict_interval(grid).T, color="#d55e00", alpha=0.2, linewidth=0)
    ax.plot(grid["hours"], fitted.predict(grid), color="#d55e00")
    ax.scatter(others["hours"], others["score"], s=18, facecolors="none", edgecolors="0.4")
    ax.set(title=title, xlabel="homework, hours a week")
axes[1].scatter(ten["hours"], ten["score"], s=22, color="#0072b2")
axes[0].set_ylabel("score")

# %%
# The shaded part is to hold 95 % of the school's pupils. The error on the others:
for name, fitted in (("nothing known", model), ("ten pupils", adapted)):
    error = np.sqrt(np.mean((fitted.predict(others[["hours"]]) - others["score"]) ** 2))
    print(f"{name:14} {error:5.1f} points")

# %%
# Intervals, nested groups, classes and counts, what happens if good schools set more homework (the
# *guard*), and where it loses: :doc:`/mixed`.
