"""Method `ntk_scrub`: take out what D_f has put into the weights of a linearised network."""

from torch import Tensor
from torch.nn.functional import one_hot

from app.methods.ntk_scrub import NtkScrubParams
from worker.numerics.errors import EmptyExamples, TooLarge
from worker.numerics.evaluation import logits
from worker.numerics.examples import Examples
from worker.numerics.guards import changed
from worker.numerics.jacobian import flat, linearised, moved
from worker.numerics.kernel import Known, owed, regularisation
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.weights import network_with


def ntk_scrub(problem: Problem, params: NtkScrubParams) -> Outcome:
    """Scrubbing in closed form, the network being made linear in its weights at u.

        f(w) ≈ f(u) + J (w − u)
        θ′ = θ_old + (w_{D_r} − w_D)     the least-squares fits to D_r and to D, both from θ₀   (`owed`)

    What is taken away is orthogonal to the gradients of D_r, but for the ridge: in the linear network no answer on D_r
    changes that least squares would not change. The paper's noise at the end is left out. Recipes here minimise cross
    entropy, whose logits never meet 0 and 1, so by default the targets y are the logits of the deployed network: then
    it makes no difference what was minimised, as long as the fit was complete.

    Buffers (running statistics) stay as they are.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        NotConverged: the kernel cannot be factorised.
        TooLarge: kernel or Jacobian have more entries than allowed; nothing has been allocated.

    Source: Golatkar, Achille & Soatto 2020, §4.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    initial = required(problem.initial, "the initial weights")
    if not len(forget) or not len(retain):
        raise EmptyExamples("D_f or D_r is empty: there is nothing to scrub, or nothing to keep")
    network = network_with(problem.build, problem.old if params.around == "deployed" else initial)
    weights = sum(p.numel() for p in network.parameters())
    if why := params.too_large(len(forget) + len(retain), problem.classes, weights):
        raise TooLarge(f"{why}: forget by another method, or raise the limit if the memory is there")
    back = flat(initial, network) - flat(network.state_dict(), network)  # w₀ − u

    def known(examples: Examples, phase: str) -> Known:
        around = linearised(network, examples, run=problem.run, phase=f"jacobian_{phase}")
        return Known(
            around.jacobian, targets(problem, params, examples, phase=f"answers_{phase}").flatten() - around.at(back)
        )

    kept, lost = known(retain, "retain"), known(forget, "forget")
    problem.run.progress("solve", 1, 1, "steps")
    mu = regularisation(kept, lost, params.ridge)
    shift = owed(kept, lost, mu)
    learned = flat(problem.old, network) - flat(initial, network)
    return Outcome(
        changed(problem.old, moved(problem.old, network, shift)),
        {
            "samples": len(retain),
            "weights": weights,
            "kernel_rows": len(kept.residuals) + len(lost.residuals),
            "mu": mu,
            "shift_of_learned": float(shift.norm() / learned.norm().clamp(min=1e-300)),
            "predicted_change_on_retained": float((kept.jacobian @ shift).square().mean().sqrt()),
            "predicted_change_on_forgotten": float((lost.jacobian @ shift).square().mean().sqrt()),
        },
    )


def targets(problem: Problem, params: NtkScrubParams, examples: Examples, *, phase: str) -> Tensor:
    """What the linear network is taken to have been fitted to, `(N, C)` float64."""
    if params.targets == "labels":
        return one_hot(examples.labels, problem.classes).double()
    return logits(Model(problem.build, problem.old), examples, run=problem.run, phase=phase).double()
