"""Method `random_label`: teach D_f labels that are not its own."""

from app.methods.random_label import RandomLabelParams
from worker.numerics.concatenation import concatenated
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning, kept, outnumbered
from worker.numerics.guards import changed, felt
from worker.numerics.labels import random_labels
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.relabelling import Relabelled
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of


def random_label(problem: Problem, params: RandomLabelParams) -> Outcome:
    """Go on training on the same data, in which D_f has wrong labels.

        u_n ≠ y_n uniform, drawn once for every sample of D_f
        θ ← descend CE({(x_f, u)} ∪ D_r) from θ_old              pattern A
        θ ← descend CE({(x_f, u)} ∪ D_r ∪ D_f,clean)             pattern B
        θ ← descend CE({(x_f, u)})                               without D_r

    `rld` without its elastic weight consolidation is not this: there u is drawn anew at every step, so that the answer
    on D_f tends to the uniform one over all other labels. Here a sample's label stays, and could be learned by heart in
    many epochs. In train mode: the running statistics of BatchNorm follow all that is trained on.

    Raises:
        EmptyExamples: D_f is empty, or D_r where it is used.
        ForgetsTooMuch: D_f is larger than what is kept.
        NothingToDo: no weight, or no output on D_f, changed.
        NonFinite: it diverged.

    Source: Golatkar et al. 2020, the baseline "random labels"; Graves et al. 2021, "unlearning". Defaults measured on
    validation data (small CNN, Fashion-MNIST): a class falls to 0, the others from .894 to .888 (retraining .896);
    random samples from .968 to .935 (.898), held-out data from .886 to .872 (.874), with the D_f-against-held-out
    area of the loss at .495 (.494). Higher rates and more epochs do not serve samples: their losses then lie *above*
    those of held-out data. Without D_r the rest pays: .757 for a class, .259 for samples.
    """
    forget = outnumbered(problem) if params.use_retain else required(problem.forget, "D_f")
    recipe = required(problem.recipe, "the recipe")
    with drawn_from(derived(problem.seed, "random_label")):
        wrong = random_labels(forget.labels, problem.classes, include_true=params.include_true_label)
    relabelled = Relabelled(forget, wrong)
    examples = concatenated(relabelled, kept(problem)) if params.use_retain else relabelled
    network = network_with(problem.build, problem.old)
    plan = fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.epochs)
    descend(
        network,
        examples,
        cross_entropy,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="forget",
        train_mode=True,
    )
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {
            "relabelled": len(forget),
            "samples": len(examples),
            "epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
        },
    )
