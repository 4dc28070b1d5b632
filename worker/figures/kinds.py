"""What a figure is: its words, the numbers that it shows, and how they are drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, Any]
"""JSON: what is drawn and nothing else; counts and curves, never one sample's values by name."""


@dataclass(frozen=True)
class Plot:
    """One figure. `numbers` and `draw` are apart, so that what a report shows can be drawn again from its numbers."""

    name: str
    title: str
    caption: str
    numbers: Numbers
    draw: Callable[[Numbers], bytes]
