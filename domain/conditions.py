"""Conditions on an alert: what a routing rule and a maintenance window ask of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from re import Pattern, compile
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from domain.events import Value
from domain.values import NO_NUL, SOME
from domain.words import Category, Severity

LabelName = Annotated[str, StringConstraints(min_length=1, max_length=200), NO_NUL]
LabelValue = Annotated[str, StringConstraints(max_length=2000), NO_NUL]
LabelStart = Annotated[str, StringConstraints(min_length=1, max_length=2000), NO_NUL]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=200), NO_NUL]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an alert or an incident when it has to find its team. Category None is unclassified."""

    severity: Severity
    category: Category | None
    source: str
    labels: Mapping[str, str] = field(default_factory=dict)


class LabelCondition(Value):
    """Holds where there is such a label and its whole value is as asked, in exactly one of four ways.

    matches: a glob with `*`, `?`, `[abc]`, `[!abc]`. All ways tell upper case from lower.
    """

    label: LabelName
    equals: LabelValue | None = None
    one_of: Annotated[tuple[LabelValue, ...], SOME] | None = Field(default=None, max_length=1000)
    starts_with: LabelStart | None = None
    matches: Glob | None = Field(default=None, validate_default=True)

    @field_validator("matches")
    @classmethod
    def _one_way(cls, matches: str | None, info: ValidationInfo) -> str | None:
        ways = ("equals", "one_of", "starts_with")
        if not info.data.keys() >= set(ways):
            return matches  # those are refused by themselves
        given = [way for way in ways if info.data[way] is not None] + ["matches"] * (matches is not None)
        if len(given) != 1:
            raise ValueError(
                f"exactly one of {', '.join(ways)}, matches is needed, not {' and '.join(given) or 'none'}"
            )
        return matches

    @property
    def exact(self) -> frozenset[str] | None:
        """The values with which it holds, where they can be listed."""
        if self.equals is not None:
            return frozenset((self.equals,))
        return frozenset(self.one_of) if self.one_of is not None else None

    def test(self) -> Callable[[str], bool]:
        """The question it asks of the label's value, ready to be asked often."""
        if (exact := self.exact) is not None:
            return exact.__contains__
        if (start := self.starts_with) is not None:
            return lambda value: value.startswith(start)
        match = _glob(self.matches or "").match
        return lambda value: match(value) is not None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds of these labels."""
        value = labels.get(self.label)
        if value is None:
            return False
        if self.equals is not None:
            return value == self.equals
        if self.one_of is not None:
            return value in self.one_of
        if self.starts_with is not None:
            return value.startswith(self.starts_with)
        return _glob(self.matches or "").match(value) is not None

    def words(self, value: str) -> str:
        """Why it holds of that value, in words."""
        said = f"label {self.label} is “{value}”"
        if self.starts_with is not None:
            return f"{said}, which starts with “{self.starts_with}”"
        return said if self.matches is None else f"{said}, which matches “{self.matches}”"


class Conditions(Value):
    """All that are given have to hold; an empty list is not given; none given hold of everything.

    categories: null in it is unclassified. source: as in `IncidentTriggered.source`, to the letter.
    """

    severities: tuple[Severity, ...] = Field(default=(), max_length=4)
    categories: tuple[Category | None, ...] = Field(default=(), max_length=7)
    sources: tuple[LabelName, ...] = Field(default=(), max_length=100)
    labels: tuple[LabelCondition, ...] = Field(default=(), max_length=100)

    def hold(self, facts: Facts) -> bool:
        """Whether all that are given hold."""
        return (
            (not self.severities or facts.severity in self.severities)
            and (not self.categories or facts.category in self.categories)
            and (not self.sources or facts.source in self.sources)
            and all(label.holds(facts.labels) for label in self.labels)
        )

    def words(self, facts: Facts) -> str:
        """Why they hold of `facts`, in words; they have to."""
        said = [f"severity is {facts.severity}"] * bool(self.severities)
        said += [f"category is {facts.category or 'unclassified'}"] * bool(self.categories)
        said += [f"source is {facts.source}"] * bool(self.sources)
        said += [label.words(facts.labels[label.label]) for label in self.labels]
        return " and ".join(said) or "it has no conditions"


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Pattern[str]:
    """Without the risk of a pattern that takes for ever: `translate` lets no `*` go back over another's match."""
    return compile(translate(pattern))
