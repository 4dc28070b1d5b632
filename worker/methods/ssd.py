"""Method `ssd`: shrink the weights that matter much more to D_f than to all of D."""

from app.methods.ssd import SsdParams
from worker.numerics.dampening import dampened, share, usable
from worker.numerics.errors import NothingToDo
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.selection import select, threshold
from worker.numerics.weights import network_with

FRACTION = 0.1
"""As λ, found by `benchmarks.search` for a class, rounded, and tried on more data (`benchmarks.field --search`): at .05
and λ 1 most of a class stays. Random samples are not forgotten by any values that the rest survives."""


def ssd(problem: Problem, params: SsdParams) -> Outcome:
    """Selective synaptic dampening: one pass over D_f, then one product a weight.

        S = {i : I_f > α I_D}            I: exact Fisher diagonals, means over D_f and over D
        θ_S ← min(λ I_D / I_f, 1) θ_S    all other weights stay bit for bit

    α is given, or taken such that `fraction` of the weights are selected. I_D is the stored diagonal; D itself is not
    read. No seed matters.

    Raises:
        ForgetsTooMuch: D_f is more than half of D.
        Misfit: α is so large that nothing could be selected.
        NothingToDo: nothing is selected, no weight shrank, or no output on D_f changed.

    Source: Foster et al. 2024, §4.
    """
    forget, stored = required(problem.forget, "D_f"), required(problem.fisher, "the stored Fisher")
    f = share(len(forget), stored)
    alpha = None if params.selection is None else usable(params.selection, f)
    network = network_with(problem.build, problem.old)
    forget_fisher = fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget")
    scores = ratio(forget_fisher, stored)
    selection = select(scores, threshold(scores, params.fraction or FRACTION) if alpha is None else alpha)
    if not selection.size:
        raise NothingToDo(f"I_f exceeds α·I_D nowhere at α = {selection.threshold:.4g}: lower α, or give a fraction")
    new = dampened(problem.old, stored.diagonal(), forget_fisher.diagonal(), selection, strength=params.dampening)
    return Outcome(
        felt(problem, changed(problem.old, new), forget),
        {
            "selected_fraction": selection.fraction,
            "selected": selection.size,
            "alpha": selection.threshold,
            "alpha_bound": 1 / f,
            "dampened": sum(int((new[name] != problem.old[name]).sum()) for name in selection.masks),
            "forget_share": f,
        },
    )
