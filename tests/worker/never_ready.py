"""A child's module that never ends importing."""

import time


def load() -> None:
    """Ten minutes are for ever here; whoever waits for them has failed."""
    time.sleep(600)
