"""Both halves of everything on offer are in both tables."""

from app.catalogue import unions
from worker import registry


def test_what_may_be_asked_is_exactly_what_can_be_done() -> None:
    assert set(registry.METHODS) == set(unions.METHODS)
    assert set(registry.METRICS) == set(unions.METRICS)
    assert set(registry.ARCHITECTURES) == set(unions.ARCHITECTURES)
    assert set(registry.TRANSFORMS) == set(unions.TRANSFORMS)


def test_every_implementation_is_named_like_its_parameters() -> None:
    for params, method in registry.METHODS.items():
        assert method.__name__ == params.model_fields["name"].default
    for asked, metric in registry.METRICS.items():
        assert metric.__name__ == asked.model_fields["name"].default
