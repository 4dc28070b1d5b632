"""How often 95 % intervals hold the truth, in made-up cases of which it is known."""

from collections.abc import Callable
from statistics import mean

import numpy as np
from scipy.stats import norm

from worker.estimates import Estimate, distance, roc_area, share
from worker.intervals import delong, wilson

Case = Callable[[np.random.Generator], bool]
SIZES = (20, 100, 341, 1000)


def coverage(cases: int) -> dict[str, float]:
    """The share of cases in which the interval holds the truth: of each kind over all sizes, and of `all`."""
    random = np.random.default_rng(0)
    kinds = {"proportion": proportion, "area": an_area, "difference_of_proportions": shares_to_golds}
    kinds["difference_of_areas"] = areas_to_golds
    found = {name: [case(random, n) for n in SIZES for _ in range(cases // len(SIZES))] for name, case in kinds.items()}
    rates = {name: round(mean(hits), 4) for name, hits in found.items()}
    return rates | {"all": round(mean([hit for hits in found.values() for hit in hits]), 4)}


def proportion(random: np.random.Generator, n: int) -> bool:
    """Wilson's interval of a proportion between .3 and .97."""
    truth = random.uniform(0.3, 0.97)
    low, high = wilson(random.binomial(n, truth) / n, n)
    return bool(low <= truth <= high)


def an_area(random: np.random.Generator, n: int) -> bool:
    """DeLong's interval of the area between normal scores a distance of up to 1 apart: Φ(d/√2)."""
    apart = random.uniform(0, 1)
    low, high = delong(random.normal(apart, size=n), random.normal(size=n))
    return bool(low <= norm.cdf(apart / 2**0.5) <= high)


def shares_to_golds(random: np.random.Generator, n: int) -> bool:
    """The difference of a model's accuracy to the mean of all models that might have been retrained.

    A sample's ease u and a model's luck v_g with it decide: right if q_g + u + v > 0; q_g varies between gold models by
    about a point of accuracy. Three gold models.
    """
    ease = random.normal(size=n)
    level, spread, lead = 1.3, 0.04, random.uniform(0, 0.5)

    def model(height: float) -> Estimate:
        return share((height + ease + random.normal(scale=0.6, size=n) > 0).astype(float))

    golds = [model(random.normal(level, spread)) for _ in range(3)]
    far = (1 + 0.6**2) ** 0.5
    truth = norm.cdf((level + lead) / far) - norm.cdf(level / (far**2 + spread**2) ** 0.5)
    low, high = distance(model(level + lead), golds).interval
    return bool(low <= truth <= high)


def areas_to_golds(random: np.random.Generator, n: int) -> bool:
    """The difference of two areas on the same samples, to three gold models that know nothing: Φ(d/√(2(1+s²))) − ½."""
    here, there, noise = random.normal(size=n), random.normal(size=2 * n), 0.5
    lead = random.uniform(0, 0.8)

    def model(apart: float) -> Estimate:
        forgotten = here + apart + random.normal(scale=noise, size=n)
        return roc_area(forgotten, there + random.normal(scale=noise, size=2 * n))

    truth = norm.cdf(lead / (2 * (1 + noise**2)) ** 0.5) - 0.5
    low, high = distance(model(lead), [model(0.0) for _ in range(3)]).interval
    return bool(low <= truth <= high)
