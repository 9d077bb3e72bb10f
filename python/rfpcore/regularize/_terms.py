"""What all terms have in common, and their sum."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .._arrays import shown
from .._options import positive
from .._value import Value, decode, encode, kinds

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Regularization", "Term"]

LARGEST_RATE = 0.95
"""The most that scaling makes of a rate, which must stay below 1."""

TermT = TypeVar("TermT", bound="Term")


class Term(Value):
    """One regularizer: a frozen dataclass whose fields are numbers, strings, bools and tuples of them.

    Two terms that say the same are equal and have the same hash. `a + b` is a `Regularization` of both.
    """

    def __add__(self, other: "Term | Regularization") -> "Regularization":
        return Regularization.of(self) + other

    _strengths: ClassVar[Mapping[str, float]] = {}
    """Fields that say how strong a term is, and the most that scaling makes of each."""

    def scaled(self, factor: float) -> "Self":
        """The same term with its strength times a factor.

        That is the strength of `L1` and `L2`, the scale of `InputNoise`, the alpha of `Mixup`, the rates of
        `Dropout`, the epsilon of `LabelSmoothing` and the probability of `Shifts`. Rates and epsilons end at
        0.95, unless they are above it already, and the probability at 1. `BatchNorm`, `EarlyStopping`,
        `ClipNorm` and `MaxNorm` have no strength and stay as they are.

        Parameters
        ----------
        factor : float
            Above 0.

        Examples
        --------
        >>> from rfpcore.regularize import L2, BatchNorm, Dropout
        >>> L2(0.5).scaled(4), Dropout((0.1, 0.3)).scaled(4), BatchNorm().scaled(4)
        (L2(strength=2.0), Dropout(rate=(0.4, 0.95)), BatchNorm())
        """
        times = positive(factor, "factor")
        changed = {name: _times(getattr(self, name), times, most) for name, most in self._strengths.items()}
        return replace(self, **changed)  # type: ignore[type-var]  # every term is a dataclass

    def to_dict(self) -> dict[str, Any]:
        """The kind and all fields, in JSON's types."""
        found: dict[str, Any] = encode(self)
        return found


@dataclass(frozen=True, repr=False)
class Regularization(Value):
    """Several terms, at most one of a kind; their order has no meaning, and none is kept.

    Parameters
    ----------
    terms : sequence of Term
        Empty for no regularization at all.

    Raises
    ------
    ValueError
        If two terms are of one kind. `L1` and `L2` are kinds of their own.
    TypeError
        If an entry is no term.

    Examples
    --------
    >>> from rfpcore.regularize import L2, Dropout, Regularization
    >>> both = Dropout(0.4) + L2(1e-3)
    >>> both
    Regularization([Dropout(rate=0.4), L2(strength=0.001)])
    >>> both == L2(1e-3) + Dropout(0.4) == Regularization.from_json(both.to_json())
    True
    >>> both.get(L2).strength
    0.001
    >>> L2(1e-3) + L2(1e-2)
    Traceback (most recent call last):
    ...
    ValueError: two terms of the kind L2: L2(strength=0.001) and L2(strength=0.01); one is possible
    """

    terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.terms, Term | Regularization | str) or not _iterable(self.terms):
            raise TypeError(
                f"terms={shown(self.terms)} is a {type(self.terms).__name__}; a sequence of terms is needed, "
                "such as [L2(0.001)]; Regularization.of takes a single term"
            )
        by_kind: dict[str, Term] = {}
        for term in self.terms:
            kind = type(term).__name__
            if not isinstance(term, Term):
                raise TypeError(f"{shown(term)} is a {kind}; a term such as L2(0.001) is needed")
            if kind in by_kind:
                raise ValueError(f"two terms of the kind {kind}: {by_kind[kind]} and {term}; one is possible")
            by_kind[kind] = term
        self._store(terms=tuple(by_kind[kind] for kind in sorted(by_kind)))

    @classmethod
    def of(cls, given: "Regularization | Term | Iterable[Term] | None") -> "Self":
        """A specification from whatever stands for one: None, a term, several, or one already made.

        Examples
        --------
        >>> from rfpcore.regularize import L1, Regularization
        >>> Regularization.of(None), Regularization.of(L1(0.1))
        (Regularization([]), Regularization([L1(strength=0.1)]))
        """
        if isinstance(given, Regularization):
            return cls(given.terms)
        if given is None or isinstance(given, Term):
            return cls(() if given is None else (given,))
        if isinstance(given, str) or not _iterable(given):
            raise TypeError(
                f"regularization={shown(given)} is a {type(given).__name__}; a term such as L2(0.001), "
                "a sum or sequence of terms, or None is needed"
            )
        return cls(tuple(given))

    def scaled(self, factor: float) -> "Self":
        """All terms with their strengths times a common factor: see `Term.scaled`.

        Examples
        --------
        >>> from rfpcore.regularize import L2, Dropout, EarlyStopping
        >>> (L2(0.1) + Dropout(0.5) + EarlyStopping(3)).scaled(0.5)
        Regularization([Dropout(rate=0.25), EarlyStopping(patience=3), L2(strength=0.05)])
        """
        times = positive(factor, "factor")
        return type(self)(tuple(term.scaled(times) for term in self.terms))

    def get(self, kind: type[TermT]) -> TermT | None:
        """The term of a kind, None where there is none."""
        for term in self.terms:
            if isinstance(term, kind):
                return term
        return None

    def __add__(self, other: "Term | Regularization") -> "Regularization":
        if not isinstance(other, Term | Regularization):
            return NotImplemented
        return Regularization(self.terms + Regularization.of(other).terms)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.terms)!r})"

    def to_json(self) -> str:
        """One line of JSON: a list of terms, each with its kind and all its fields."""
        return json.dumps(encode(self.terms))

    @classmethod
    def from_json(cls, text: str) -> "Self":
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no such list, or names a kind or a field that does not exist.
        """
        if not isinstance(text, str):
            raise TypeError(f"text is a {type(text).__name__}; a str is needed")
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the specification is no JSON: {error}") from None
        if not isinstance(entries, list):
            raise ValueError(f"the specification is a {type(entries).__name__}; a list of terms is needed")
        return cls(tuple(_from_dict(entry) for entry in entries))


def _times(value: float | tuple[float, ...], factor: float, most: float) -> Any:
    """A strength, or each of several, times a factor: no more than `most`, or than it is."""
    if isinstance(value, tuple):
        return tuple(_times(one, factor, most) for one in value)
    return min(value * factor, max(most, value))


def _iterable(value: Any) -> bool:
    return (
        isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0
    )  # an array of no dimension says it is one


def _from_dict(entry: Any) -> Term:
    """The term of one entry of the list."""
    known = list(kinds(Term))
    if not isinstance(entry, dict) or entry.get("kind") not in known:
        raise ValueError(f"{shown(entry)} is no term; an object is needed whose kind is one of {known}")
    try:
        term: Term = decode(entry)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"{shown(entry)} is no term: {error}") from None
    return term
