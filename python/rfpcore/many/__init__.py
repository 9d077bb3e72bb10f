"""Many independent networks at once: seeds, bootstraps, sweeps, ablations.

`fit_many` trains every `Model` of a list on mini-batches of rows, one model on one thread at a time. A
model's result depends on nothing but its own `Model`, its data and its seed: not on the models beside it,
their order or the number of threads. Models may repeat a seed; two equal models on equal rows come out equal.
"""

from ._data import require_pair as require_pair  # not public: what files of sweeps need besides
from ._data import row_lists as row_lists
from ._data import row_numbers as row_numbers
from ._fit import fit_many
from ._labels import coded as coded
from ._labels import coded_pair as coded_pair
from ._labels import text_classes as text_classes
from ._model import Model
from ._norms import Norms
from ._record import Record
from ._result import PARAMETERS as PARAMETERS
from ._result import SCORES as SCORES
from ._result import ManyResult, ModelResult
from ._result import Score as Score

__all__ = ["ManyResult", "Model", "ModelResult", "Norms", "Record", "fit_many"]
