"""The empirical Fisher diagonal: exact, additive, subtractable.

    F_i = 1/N Σₙ (∂ℓ(f_θ(xₙ), yₙ)/∂θᵢ)²        ℓ: cross entropy

Squared *per sample*, then summed: only so is N·F_D = N_f·F_Df + N_r·F_Dr, and one stored sum answers for every D_r.
"""

from worker.numerics.fisher.accumulator import Accumulator
from worker.numerics.fisher.diagonal import Fisher, ratio
from worker.numerics.fisher.estimate import fisher_diagonal

__all__ = ["Accumulator", "Fisher", "fisher_diagonal", "ratio"]
