"""Method `sisa`: train again only the members that have seen D_f."""

from app.methods.sisa import SisaParams
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.sharding import Sharded, part, shard_of
from worker.numerics.training import learn
from worker.numerics.weights import weights_of


def sisa(problem: Problem, params: SisaParams) -> Outcome:  # noqa: ARG001 - the recipe has them all
    """The registered recipe from a fresh initialisation, for the members whose shard holds a sample of D_f.

        hit = {i : shard i ∩ D_f ≠ ∅}
        θ_i ← trained on shard i ∩ D_r     i ∈ hit
        θ_i stays, bit for bit             otherwise

    A member trained here is the one that `train` on D_r gives for the same seed, bit for bit; the others never saw D_f,
    provided that the deployed network was trained shard by shard.

    Raises:
        EmptyExamples: D_f is empty, or nothing of a shard is kept.
        Misfit: the network has no shards.

    Source: Bourtoule et al. 2021, §IV.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    recipe, seed = required(problem.recipe, "the recipe"), derived(problem.seed, "sisa")
    if not len(forget):
        raise EmptyExamples("D_f is empty, so there is nothing to forget: name other samples")
    network = problem.build(seed)
    if not isinstance(network, Sharded):
        raise Misfit("the network has no shards: use `retrain`, or register a model of architecture `sisa`")
    members = len(network.shards)
    hit = sorted(set(shard_of(forget.positions, members).tolist()))
    home = shard_of(retain.positions, members)
    trained = [part(network, retain.where(home == shard), shard, seed=seed, phase="sisa") for shard in hit]
    for member in trained:
        learn(member, recipe, run=problem.run)
    fresh, again = weights_of(network), tuple(f"shards.{shard}." for shard in hit)
    new = {name: fresh[name] if name.startswith(again) else theta.clone() for name, theta in problem.old.items()}
    return Outcome(
        changed(problem.old, new),
        {
            "members": members,
            "members_trained": len(hit),
            "trained_shards": ", ".join(map(str, hit)),
            "samples": sum(len(member.examples) for member in trained),
            "samples_of_all_shards": len(retain),
        },
    )
