"""What is fuzzed: a call that works, whose arguments are then replaced by hostile ones."""

import functools
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuzz_rule import check
from fuzz_values import value_like
from hypothesis import strategies as st

Arguments = dict[str, Any]
Base = Callable[[], Arguments]

# Counts that say how long to work: a huge one may run until it is stopped.
WORK = {
    "max_iter", "n_steps", "n_epochs", "inner_steps", "n_iterations", "n_draws", "n_estimators",
    "n_bootstraps", "dropout_samples", "inner_steps_covariates", "n_iter_no_change", "n_checkpoints",
    "n_particles", "seeds",
    "points", "n_folds", "hidden_layer_sizes", "n_samples", "n_clusters", "n_per_cluster", "least",
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One public callable.

    `base` makes the arguments of a call that works; `signature` has the defaults of the others and all
    annotations; `fixed` names arguments that stay as they are. `allowed` are options of `fuzz_rule.check`.
    `covers` are public names that this target stands for beside its own, `choices` the values to take for an
    argument.
    """

    name: str
    call: Callable[..., Any]
    base: Base
    signature: Callable[[], tuple[Arguments, Arguments]] = lambda: ({}, {})
    fixed: Sequence[str] = ()
    allowed: Mapping[str, Any] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def check(self, changed: Arguments) -> None:
        """Make the call with these arguments instead of those that work; `Finding` if it breaks the rule."""
        work = not WORK.isdisjoint(changed)
        check(self.name, self.call, self.base() | changed, changed, **{"work": work} | dict(self.allowed))

    def works(self) -> Any:
        """What the call gives without hostile arguments: it must, else the others try nothing."""
        return quietly(lambda: self.call(**self.base()))()

    def hostile(self) -> st.SearchStrategy[Arguments]:
        """One, two or three hostile arguments."""
        return _hostile(self)


@st.composite
def _hostile(draw: Any, target: Target) -> Arguments:
    (optional, annotations), given = target.signature(), target.base()
    mutable = sorted({*given, *optional} - set(target.fixed))
    if not mutable:
        return {}
    count = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3]))
    names = draw(st.lists(st.sampled_from(mutable), min_size=1, max_size=count, unique=True))
    return {
        name: draw(
            st.sampled_from(target.choices[name])
            if name in target.choices
            else value_like(given.get(name, optional.get(name)), annotations.get(name))
        )
        for name in names
    }


def function(call: Callable[..., Any], base: Base, name: str = "", **options: Any) -> Target:
    """The target of a public function, class or class method."""
    own = getattr(call, "__qualname__", name)
    return Target(name or own, call, base, functools.partial(signature, call), **options)


def method(
    made: Callable[[], Any],
    owner: str,
    name: str,
    base: Base = dict,
    covers: Sequence[str] = (),
    **options: Any,
) -> Target:
    """The target of a method of an object that is made once, when it is first needed.

    `covers` are classes that have the method from this one.
    """
    made = functools.lru_cache(maxsize=1)(quietly(made))

    def call(**arguments: Any) -> Any:
        return getattr(made(), name)(**arguments)

    return Target(
        f"{owner}.{name}",
        call,
        base,
        lambda: signature(getattr(made(), name)),
        covers=tuple(f"{other}.{name}" for other in covers),
        **options,
    )


def quietly(made: Callable[[], Any]) -> Callable[[], Any]:
    """The same without its warnings, which are nothing to find."""

    def silent() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return made()

    return silent


def estimator(
    kind: Any,
    settings: Arguments,
    data: Base,
    use: Callable[[Any], Any],
    covers: Sequence[str] = (),
    **options: Any,
) -> Target:
    """Settings and data of an estimator at once: `set_params`, `get_params`, `fit`, and what is then used."""
    own = set(inspect.signature(kind).parameters)

    def call(**arguments: Any) -> Any:
        model = kind().set_params(**{name: value for name, value in arguments.items() if name in own})
        model.get_params()
        model.fit(**{name: value for name, value in arguments.items() if name not in own})
        return use(model)

    def both() -> tuple[Arguments, Arguments]:
        (optional, annotations), (more, further) = signature(kind), signature(kind.fit)
        return more | optional, further | annotations

    parts = tuple(f"{kind.__name__}.{name}" for name in ("fit", "get_params", "set_params"))
    return Target(kind.__name__, call, lambda: settings | data(), both, covers=(*parts, *covers), **options)


@functools.cache
def signature(call: Callable[..., Any]) -> tuple[Arguments, Arguments]:
    """A signature's defaults, and its annotations."""
    parameters = inspect.signature(call).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    optional = {p.name: p.default for p in named if p.default is not p.empty}
    plain = call.__init__ if inspect.isclass(call) else getattr(call, "__func__", call)
    try:
        return optional, typing.get_type_hints(plain)
    except NameError:  # names that are imported for the type checker only
        return optional, {}
