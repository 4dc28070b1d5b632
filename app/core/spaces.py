"""Ranges in which a parameter may be searched for: declared beside the parameters, narrowed or widened by callers."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value: TypeAlias = float | int | str | None
"""What a parameter that is searched for may be; a bool is an int."""

Finite = Annotated[float, Field(ge=-1e12, le=1e12)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]
Text = Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")]


class _Range(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class FloatRange(_Range):
    """Real numbers from `low` to `high`, both included."""

    kind: Literal["float"] = "float"
    low: Finite
    high: Finite
    log: bool = False
    """Draw the logarithm uniformly: for what matters by its order of magnitude."""

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that show whether a parameter may take them all."""
        return (self.low, self.high)

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        _check(self.low, self.high, log=self.log)
        return self


class IntRange(_Range):
    """Whole numbers from `low` to `high`, both included."""

    kind: Literal["int"] = "int"
    low: Whole
    high: Whole
    log: bool = False
    """Draw the logarithm uniformly: for what matters by its order of magnitude."""

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that show whether a parameter may take them all."""
        return (self.low, self.high)

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        _check(self.low, self.high, log=self.log)
        return self


class Choices(_Range):
    """One of some values, in no order."""

    kind: Literal["choices"] = "choices"
    values: Annotated[tuple[bool | Whole | Finite | Text | None, ...], Field(min_length=1, max_length=50)]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values


AnyRange = Annotated[FloatRange | IntRange | Choices, Field(discriminator="kind")]
Space: TypeAlias = Mapping[str, AnyRange]
"""Ranges by the name of the parameter."""


def _check(low: float, high: float, *, log: bool) -> None:
    if low > high:
        raise ValueError("low must not exceed high")
    if log and low <= 0:
        raise ValueError("a logarithmic range begins above 0")
