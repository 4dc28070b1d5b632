"""What a method that diverged is said to lower, it lets a caller lower."""

import re
from dataclasses import replace

import pytest

from app.core.params import Kind, MethodParams
from app.methods.bad_teacher import BadTeacherParams
from app.methods.consistency import ConsistencyParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.neggrad_plus import NeggradPlusParams
from app.methods.noisy_finetune import NoisyFinetuneParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.scrub import ScrubParams
from app.methods.sfr_on import SfrOnParams
from app.methods.sisa import SisaParams
from tests.worker.methods.conftest import in_shards
from worker import registry
from worker.numerics import descent
from worker.numerics.errors import NonFinite
from worker.numerics.problem import Pattern, Problem

CLOSED = {
    "certified_removal", "fisher_forgetting", "lcodec", "ntk_scrub", "potion", "single_gradient", "ssd", "truncation",
}  # fmt: skip
"""Methods without steps that have a loss."""
BESIDES: dict[type[MethodParams], str] = {
    ConsistencyParams: "clip",
    GradientAscentParams: "clip",
    NeggradPlusParams: "clip",
    NoisyFinetuneParams: "clip",
    RldParams: "forget_strength",
    RndParams: "forget_strength",
    ScrubParams: "clip",
    SfrOnParams: "clip",
}
"""What there is to lower besides the learning rate, in the phase that begins or the one that forgets."""
STEPS: dict[type[MethodParams], MethodParams] = {
    BadTeacherParams: BadTeacherParams(batch_size=16),
    ScrubParams: ScrubParams(forget_batch_size=16),
    SfrOnParams: SfrOnParams(ascent_steps=2),
}
"""Parameters by which a phase has more than one step."""
BEGUN: dict[type[MethodParams], int] = {ScrubParams: 6}
"""After how many steps the phase that forgets has taken one; elsewhere it is the first phase that is looked at."""
REPAIRS: dict[type[MethodParams], int] = {ScrubParams: 1, SfrOnParams: 3}
"""After how many steps the phase on D_r, which clips on nobody's word, has taken one."""


def named(asked: type[MethodParams]) -> str:
    return str(asked.model_fields["name"].default)


def told(monkeypatch: pytest.MonkeyPatch, problem: Problem, asked: type[MethodParams], *, steps: int) -> str:
    """What it says when the loss is lost after so many steps, the recipe having a clip that is no parameter of it."""
    assert problem.recipe
    clipped = replace(problem, recipe=replace(problem.recipe, clip=1e9))
    left = iter([True] * steps)
    monkeypatch.setattr(descent, "isfinite", lambda _: next(left, False))
    with pytest.raises(NonFinite) as caught:
        registry.unlearn(in_shards(clipped) if asked is SisaParams else clipped, STEPS.get(asked) or asked())
    return str(caught.value)


@pytest.mark.parametrize("asked", [asked for asked in registry.METHODS if named(asked) not in CLOSED], ids=named)
def test_only_what_the_method_has_is_said_to_be_lowered(
    problems: dict[Pattern, Problem], asked: type[MethodParams], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problems["A" if Kind.CLASS in asked.serves else "B"]
    message = told(monkeypatch, problem, asked, steps=BEGUN.get(asked, 1))
    besides = BESIDES.get(asked)
    assert besides is None or besides in asked.model_fields
    rest = rf" or {besides} \([^ ]+\)" if besides else ""
    assert re.search(rf"at step 2 of '\w+': lower the learning rate \([^ ]+\){rest}$", message)


@pytest.mark.parametrize("asked", REPAIRS, ids=named)
def test_a_phase_that_is_not_clipped_does_not_name_the_clip_of_another(
    problems: dict[Pattern, Problem], asked: type[MethodParams], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = told(monkeypatch, problems["A"], asked, steps=REPAIRS[asked])
    assert re.search(r"at step 2 of '\w+': lower the learning rate \([^ ]+\)$", message)
