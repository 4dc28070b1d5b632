"""Before the first batch: how to go about a network, tried on a few samples against the definition."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from worker.numerics.errors import Misfit, SamplesMixed
from worker.numerics.fisher.batch import Plan, Unseen, add_intercepted, pulled
from worker.numerics.fisher.definition import Sums, Tensors, by_vmap, each_sample, one_by_one
from worker.numerics.fisher.formulas import Uncovered
from worker.numerics.fisher.interception import Course, Interception, Layout, Planned, Use

SAMPLES = 3
"""On so many the fast way is compared with the definition."""
SIZES = (5, 7)
"""Two batch sizes that tell where the samples stand: what grows from 5k to 7k is made of k entries a sample."""
EXACT, ROUGH = 1e-8, 1e-3
"""Largest normwise difference to the definition in float64, and for a network that insists on float32."""


def planned(network: nn.Module, tensors: Tensors, names: Sequence[str], inputs: Tensor, labels: Tensor) -> Plan:
    """How to go about a network: in float64 where it lets us.

    Args:
        network: in eval mode.
        tensors: its parameters and buffers.
        names: its parameters.
        inputs: `(B, *S)`, of which the first three are tried.
        labels: `(B,)`.

    Raises:
        Misfit: the network cannot be run on these inputs, or logits do not come as `(B, C)`.
        SamplesMixed: a sample's logits depend on the batch it is in.
    """
    few, labels = inputs[:SAMPLES], labels[:SAMPLES]
    exact = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    in_float64 = Trial(network, exact, names, few.double() if few.is_floating_point() else few, labels, EXACT)
    as_it_is = Trial(network, tensors, names, few, labels, ROUGH)
    try:
        in_float64.outputs(in_float64.inputs)
    except RuntimeError:  # something in it is float32 whatever its weights are
        return as_it_is.plan()
    plan = in_float64.plan()
    if few.is_cuda and (wrong := as_it_is.wrong(plan)):  # the fused kernels take float32 only
        plan = as_it_is.completed(replace(plan, apart={**plan.apart, **wrong}))
    return plan


@dataclass(frozen=True)
class Trial:
    """A few samples, and what must come out right on them."""

    network: nn.Module
    tensors: Tensors
    names: Sequence[str]
    inputs: Tensor
    labels: Tensor
    tolerance: float

    def plan(self) -> Plan:
        """Look, try, compare; what does not agree is left to a slower way, which is compared too."""
        self.check()
        plan = self.looked()
        wrong = self.wrong(plan)
        if wrong:
            flipped = self.flipped(plan, wrong.keys())
            plan, wrong = (flipped, now) if len(now := self.wrong(flipped)) < len(wrong) else (plan, wrong)
        while wrong:
            plan = replace(plan, apart={**plan.apart, **wrong})
            wrong = self.wrong(plan)
        return self.completed(plan) if plan.apart else plan

    def outputs(self, inputs: Tensor) -> Tensor:
        """The network's plain outputs."""
        with torch.no_grad():
            return functional_call(self.network, dict(self.tensors), (inputs,))  # type: ignore[no-any-return]

    def check(self) -> None:
        """Each sample has its own row of outputs, whatever else is in the batch.

        Raises:
            Misfit: it does not.
            SamplesMixed: the rows depend on each other.
        """
        try:
            whole = self.outputs(self.inputs)
            parts = [self.outputs(x) for x in torch.split(self.inputs, 1)]
        except RuntimeError as error:
            raise Misfit(f"the network cannot be run on inputs {tuple(self.inputs.shape[1:])}: {error}") from error
        if whole.dim() != 2 or len(whole) != len(self.labels):
            raise Misfit(
                f"{len(self.labels)} samples give outputs of shape {tuple(whole.shape)}, not (samples, classes):"
                " the batch must be the first dimension of inputs and outputs"
            )
        alone = torch.cat(parts)
        scale = alone.abs().amax().clamp(min=1e-30)
        if whole.shape != alone.shape or ((whole - alone).abs().amax() / scale) > max(self.tolerance, 1e-6):
            raise SamplesMixed(
                "the outputs for a sample depend on the other samples of its batch, or on chance: such a network has no"
                " per-sample gradients (batch statistics, attention across samples, dropout that is always on?)"
            )

    def looked(self) -> Plan:
        """Where parameters meet the data, and where the samples stand there, from two passes of different sizes."""
        few, many = (self._watched(self.inputs[torch.arange(size) % len(self.inputs)]) for size in SIZES)
        if (few.calls, [s.name for s in few.sites]) != (many.calls, [s.name for s in many.sites]):
            return Plan(
                Course((), ()), apart=dict.fromkeys(self.names, "the network takes another way for another batch size")
            )
        sites = []
        apart = {**few.uncovered, **many.uncovered}
        uses: dict[str, list[Use]] = {name: [] for name in self.names}
        for a, b in zip(few.sites, many.sites, strict=True):
            layout = _layout(a.shape, b.shape)
            roots = frozenset().union(*(use.derived.roots for use in b.uses))
            sites.append(Planned(a.name, layout, roots))
            for use in b.uses:
                for root in use.derived.roots:
                    uses[root].append(use)
            if layout is None:
                apart |= dict.fromkeys(roots, f"what comes out of {a.name} does not grow with the batch")
        together = frozenset(root for root in uses if _meet(many.parameters[root], uses[root]))
        return Plan(Course(tuple(many.calls), tuple(sites)), together, apart)

    def _watched(self, inputs: Tensor) -> Interception:
        leaves = {name: self.tensors[name].detach().requires_grad_() for name in self.names}
        watching = Interception(leaves, inputs)
        with torch.enable_grad(), watching:
            functional_call(self.network, {**self.tensors, **leaves}, (inputs,))
        return watching

    def wrong(self, plan: Plan) -> dict[str, str]:
        """The parameters that a plan fails on, with the reason."""
        rest = [name for name in self.names if name not in plan.apart]
        if not rest:
            return {}
        found = self._zeros(self.names)
        try:
            add_intercepted(self.network, self.tensors, self.inputs, self.labels, plan, found)
        except (Unseen, Uncovered) as error:
            known = [name for name in error.names if name not in plan.apart]
            return dict.fromkeys(known or rest, str(error))
        except RuntimeError as error:
            return dict.fromkeys(rest, str(error))
        found = {name: found[name] for name in rest}
        return dict.fromkeys(self._differing(found), "differs from the definition on a trial")

    def flipped(self, plan: Plan, wrong: Collection[str]) -> Plan:
        """Samples folded into another dimension may run fastest, `(T·B)`, as inside torch's attention."""
        sites = tuple(
            site._replace(layout=replace(site.layout, minor=True))
            if site.layout is not None and site.layout.fold > 1 and not site.roots.isdisjoint(wrong)
            else site
            for site in plan.course.sites
        )
        return replace(plan, course=plan.course._replace(sites=sites))

    def completed(self, plan: Plan) -> Plan:
        """With the slow way that gives what the definition does, for what is left apart.

        Raises:
            Misfit: not even one backward pass for every sample can be made.
        """
        found = self._zeros(plan.apart)
        try:
            by_vmap(self.network, self.tensors, self.inputs, self.labels, found)
            followed = True
        except RuntimeError:  # control flow or an operation that vmap cannot follow
            followed = False
        differing = self._differing(found)
        return plan if followed and not differing else replace(plan, slowly=one_by_one)

    def _zeros(self, names: Sequence[str] | Mapping[str, str]) -> Sums:
        return {name: torch.zeros_like(self.tensors[name]) for name in names}

    def _differing(self, found: Sums) -> list[str]:
        """The parameters whose sums are not the definition's. Works in `found`, to need no more memory.

        Sums that are not finite pass: they prove nothing, and adding these samples will name the culprit.
        """
        norms = {name: s.norm() for name, s in found.items()}

        def take_away(name: str, g: Tensor) -> None:
            found[name].addcmul_(g, g, value=-1)

        try:
            for _ in each_sample(self.network, self.tensors, self.inputs, self.labels, found, take_away):
                pass
        except RuntimeError as error:
            raise Misfit(f"the network cannot be differentiated: {error}") from error
        return [name for name, left in found.items() if left.norm() > self.tolerance * norms[name]]


def _layout(few: torch.Size, many: torch.Size) -> Layout | None:
    if len(few) != len(many):
        return None
    grown = [axis for axis, (a, b) in enumerate(zip(few, many, strict=True)) if a != b]
    if len(grown) != 1:
        return None
    fold, rest = divmod(few[grown[0]], SIZES[0])
    return Layout(grown[0], fold) if not rest and many[grown[0]] == fold * SIZES[1] else None


def _meet(leaf: Tensor, uses: Sequence[Use]) -> bool:
    """Whether some entries of a parameter are used more than once, or not as they are."""
    if not all(use.derived.selection for use in uses):
        return True
    if len(uses) < 2:
        return False
    counts = torch.zeros_like(leaf)
    for use in uses:
        counts += pulled(use.derived.tensor, leaf, torch.ones_like(use.derived.tensor))
    return bool(counts.amax() > 1)
