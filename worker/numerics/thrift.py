"""How much is taken at a time where the result does not depend on it, but for the last digits.

A process does one attempt at one job. An attempt that follows one that ran out of memory takes half as much, everywhere
but in the steps of a descent: their batches are part of what was asked for.
"""

_halvings = [0]


def begin(halvings: int) -> None:
    """From now on, in this process."""
    _halvings[0] = halvings


def at_once(most: int) -> int:
    """So many of what otherwise `most` are taken of; one at least."""
    return max(1, most >> _halvings[0])
