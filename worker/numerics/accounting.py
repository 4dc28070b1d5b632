"""What noisy descent proves: how far a start can still be told from another, and how much noise hides it."""

from dataclasses import dataclass
from math import fsum, log, sqrt


@dataclass(frozen=True)
class Walk:
    """Clipped noisy descent: θ₀ = Π_C₀(θ), θ_{t+1} = θ_t − γ(Π_C₁(g_t) + λθ_t) + ξ_t, ξ_t ~ N(0, σ²I), t < T.

    Π_C scales down to norm C whatever is longer. g_t may be any function of θ_t and of randomness that does not depend
    on θ₀: no smoothness, no convexity.
    """

    radius: float  # C₀
    clip: float  # C₁
    learning_rate: float  # γ
    decay: float  # λ, γλ < 1
    steps: int  # T ≥ 1

    @property
    def contraction(self) -> float:
        """The factor c = 1 − γλ: what a step without its gradient leaves of a distance."""
        return 1 - self.learning_rate * self.decay

    @property
    def left(self) -> float:
        """c^T, what all steps leave of θ₀."""
        return float(self.contraction**self.steps)

    @property
    def pushes(self) -> float:
        """S₁ = Σ_{k<T} c^k, so that the gradients move a weight vector by at most γC₁S₁."""
        return fsum(self.contraction**k for k in range(self.steps))

    @property
    def spread(self) -> float:
        """√S₂, S₂ = Σ_{k<T} c^{2k}: the noise in θ_T has deviation σ√S₂ in every weight."""
        return sqrt(fsum(self.contraction ** (2 * k) for k in range(self.steps)))

    @property
    def distance(self) -> float:
        """How far apart the walks from two starts can end before noise: 2(c^T C₀ + γC₁S₁)."""
        return 2 * (self.left * self.radius + self.learning_rate * self.clip * self.pushes)

    @property
    def sensitivity(self) -> float:
        """Δ: the walks from any two starts are as hard to tell apart as N(0, σ²) and N(Δ, σ²).

            Δ = 2(c^T C₀ + γC₁S₁) / √S₂,   D_α(θ_T ‖ θ′_T) ≤ α Δ²/(2σ²)   for every Rényi order α > 1

        Derivation. Let z bound the shift, D_α^(z)(μ‖ν) = inf {D_α(μ′‖ν) : W_∞(μ, μ′) ≤ z}. At the start z₀ = 2C₀ makes
        it 0. A step without noise turns two points z apart into points at most cz + 2γC₁ apart, so by data processing
        D_α^(cz+2γC₁) of what it makes is at most the D_α^(z) before. The noise takes a shift of a off the bound and
        adds αa²/(2σ²) (the shift-reduction lemma). With z_{t+1} = cz_t + 2γC₁ − a_{t+1} and z_T = 0, Σa² is least for
        a_t ∝ c^(T−t), and is Δ²; all z_t ≥ 0 then. Two walks that are pushed apart at full clip all the time differ by
        exactly this, so that it cannot be improved without saying more about the gradients.

        Source: Feldman, Mironov, Talwar & Thakurta, Privacy Amplification by Iteration, 2018 (the lemmas); Koloskova
        et al. 2025, §4 (their use for unlearning, with other constants). The constants here are derived, not theirs.
        """
        return self.distance / self.spread


def epsilon_of(ratio: float, delta: float) -> float:
    """ε such that what is D_α-close by α·ratio²/2 at every order α is (ε, δ)-close.

        ε = ρ²/2 + ρ√(2 ln 1/δ),   the least of αρ²/2 + ln(1/δ)/(α−1) over α > 1

    Args:
        ratio: ρ = Δ/σ ≥ 0.
        delta: 0 < δ < 1.

    Source: Mironov, Rényi Differential Privacy, 2017, Proposition 3.
    """
    return ratio**2 / 2 + ratio * sqrt(2 * log(1 / delta))


def ratio_for(epsilon: float, delta: float) -> float:
    """The ρ = Δ/σ whose `epsilon_of` is ε: √(2 ln 1/δ + 2ε) − √(2 ln 1/δ), without loss of digits at a small ε."""
    surprise = 2 * log(1 / delta)
    return 2 * epsilon / (sqrt(surprise + 2 * epsilon) + sqrt(surprise))
