"""Which parameters of a candidate are searched, and everything that can be wrong with what a caller says about it."""

from pydantic import ValidationError

from app.core.errors import invalid_field
from app.core.params import MethodParams
from app.core.spaces import AnyRange, Value
from app.searches.schemas import CandidateIn


def space_of(candidate: CandidateIn, pointer: str) -> dict[str, AnyRange]:
    """The caller's ranges, and the declared ones of what the caller does not speak of.

    A declared range that does not go with what the method gives is left out: `gamma` of deepclean leaves no room for
    `fraction`.

    Raises:
        Invalid: a range of no parameter, of one that is given, or beyond what the parameter may be; nothing to search.
    """
    method, wanted = candidate.method, candidate.space
    for name, asked in wanted.items():
        _check(method, name, asked, f"{pointer}/space/{name}")
    given = method.model_fields_set
    declared = {
        name: asked
        for name, asked in method.space.items()
        if name not in given and name not in wanted and _wrong(method, name, asked) is None
    }
    space = {**declared, **wanted}
    if not space:
        raise invalid_field(
            pointer, "Nothing of this method is left to search for: give ranges in `space`.", code="nothing_to_search"
        )
    return space


def _check(method: MethodParams, name: str, asked: AnyRange, pointer: str) -> None:
    if name == "name" or name not in type(method).model_fields:
        raise invalid_field(pointer, "The method has no such parameter.", code="unknown_parameter")
    if name in method.model_fields_set:
        raise invalid_field(pointer, "The method gives this parameter: leave it out there.", code="parameter_given")
    if wrong := _wrong(method, name, asked):
        raise invalid_field(pointer, f"The parameter cannot be all of it: {wrong}.", code="range_too_wide")


def _wrong(method: MethodParams, name: str, asked: AnyRange) -> str | None:
    """Why the parameter may not be one of the range's ends, beside what the method gives."""
    for value in asked.ends:
        if (why := _refused(method, name, value)) is not None:
            return why
    return None


def _refused(method: MethodParams, name: str, value: Value) -> str | None:
    try:
        found = type(method).model_validate({**method.model_dump(), name: value})
    except ValidationError as error:
        return "; ".join(part["msg"] for part in error.errors(include_input=False, include_url=False))
    # 2.5 steps are refused above; a true for a number is not, and would not be what is searched.
    return None if getattr(found, name) == value else "it is taken for something else"
