import pytest

from app.catalogue.unions import ARCHITECTURES, METHODS, METRICS, TRANSFORMS
from tests.app.web.rig import Rig, problem


@pytest.mark.parametrize(
    ("path", "table"),
    [("methods", METHODS), ("audit-metrics", METRICS), ("architectures", ARCHITECTURES), ("transforms", TRANSFORMS)],
)
def test_everything_offered_is_described(lone: Rig, path: str, table: tuple[type, ...]) -> None:
    entries = lone.get(f"/{path}").json()["data"]
    assert len(entries) == len(table)
    for entry in entries:
        assert entry["description"]
        assert entry["paper"]
        assert entry["parameters"]["properties"]["name"]["const"] == entry["name"]
        assert lone.get(f"/{path}/{entry['name']}").json() == entry
    problem(lone.get(f"/{path}/nonesuch"), 404, "no_such_entry")
    problem(lone.get(f"/{path}/%00"), 422, "invalid_request", "path/name")


def test_a_method_says_what_it_needs_for_each_kind(lone: Rig) -> None:
    rld = lone.get("/methods/rld").json()
    assert rld["serves"] == ["backdoor", "class", "leakage", "samples", "subjects"]
    assert rld["needs"]["samples"] == ["fisher", "forget"]
    assert rld["needs"]["backdoor"] == ["fisher", "forget", "forget_clean"]
