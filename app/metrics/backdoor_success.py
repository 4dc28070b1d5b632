"""Parameters of `backdoor_success`: does the trigger still work?"""

from typing import ClassVar, Literal

from app.core.params import Kind, MetricParams


class BackdoorSuccessParams(MetricParams):
    """How often the trigger leads held-out samples of other classes to its class, and how often they are answered."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.BACKDOOR})
    paper: ClassVar[str] = "Gu et al., BadNets, 2017; Wu et al., BackdoorBench, 2022"

    name: Literal["backdoor_success"] = "backdoor_success"
