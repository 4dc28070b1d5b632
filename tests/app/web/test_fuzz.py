"""Whatever comes in, what goes out is documented: no other status, no other type, never a 500."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from app.web.problems import MEDIA_TYPE
from tests.app.web.rig import Rig

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 1e308, 0.5, "", "x", "a\x00b", "\ud800", "é" * 300, "../..", "'; --",
    "mv_" + "0" * 32, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59",
    [], [[]], {}, {"name": "x"}, ["\x00"], {"\x00": 1}, [None], [10**30],
)  # fmt: skip
SEGMENTS = ("net", "deployed", "x" * 101, "%00", "%ff", "..%2f", "é", "mv_" + "0" * 32, "job_" + "0" * 32)
NAMES = re.compile(r"\{[a-z_]+\}")


def _mutate(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        return {**value, key: _mutate(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        return [_mutate(rng, value[0]), *value[1:]]
    return rng.choice(ODD)


def _everywhere(value: Any, odd: Any) -> Iterator[Any]:
    """The body, once with each of its leaves replaced."""
    if isinstance(value, dict):
        for key in value:
            yield from ({**value, key: below} for below in _everywhere(value[key], odd))
    elif isinstance(value, list) and value:
        yield from ([below, *value[1:]] for below in _everywhere(value[0], odd))
    else:
        yield odd


def _check(rig: Rig, operations: dict[str, Any], method: str, path: str, **options: Any) -> None:
    answer = rig.call(method, path, **options)
    documented = operations[method.lower()]["responses"]
    told = (method, path, options, answer.status_code, answer.text[:500])
    assert answer.status_code != 500, told
    if answer.status_code in {404, 405} and answer.json()["code"] in {"no_such_path", "method_not_allowed"}:
        return  # the segment led elsewhere
    assert str(answer.status_code) in documented, told
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE, told


def test_odd_paths_queries_and_headers(api: Rig) -> None:
    api.deployed()
    document = api.get("/openapi.json").json()
    for template, operations in document["paths"].items():
        for method in operations:
            for segment in SEGMENTS:
                path = NAMES.sub(segment, template)
                headers = {"If-Match": "*", "If-None-Match": 'W/"x", *', "Last-Event-ID": "-1"}
                _check(api, operations, method.upper(), path, headers=headers)
                if template == path:
                    break
            for query in ("limit=99999999999999999999", "limit=", "after=%00", "after=%ff", "status=%00", "model=%00"):
                path = template.split("{")[0].rstrip("/")
                if path == template:
                    _check(api, operations, method.upper(), f"{path}?{query}")


def test_odd_bodies(api: Rig) -> None:
    version = api.deployed()
    operations = api.get("/openapi.json").json()["paths"]
    right = {
        ("POST", "/datasets", "/datasets"): api.dataset_body("new"),
        ("POST", "/models", "/models"): api.model_body("new"),
        ("POST", "/models/{model}/versions", "/models/net/versions"): {"path": "/x", "parent": version, "role": "gold"},
        ("PUT", "/models/{model}/aliases/{alias}", "/models/net/aliases/a"): {"version": version},
        ("POST", "/api-keys", "/api-keys"): {"name": "x", "scopes": ["*"], "expires_at": "2030-01-01T00:00:00Z"},
        ("POST", "/forget-requests", "/forget-requests"): {
            "model": "net",
            "alias": "deployed",
            "target": {
                "kind": "backdoor",
                "dataset": "faces",
                "filter": {"label": 1, "subject_ids": ["person-1"]},
                "transform": {"name": "patch", "top": 0, "height": 3, "value": [1]},
            },
            "method": {"name": "rld", "epochs": 2},
            "audit": {"metrics": [{"name": "mia", "folds": 5}], "gold": "none", "gold_versions": []},
            "seed": 1,
            "external_id": "e",
            "received_at": "2026-01-01T00:00:00Z",
        },
    }
    right["POST", "/searches", "/searches"] = {
        "model": "net",
        "alias": "deployed",
        "target": {"kind": "class", "dataset": "faces", "label": 1},
        "candidates": [
            {
                "method": {"name": "ssd"},
                "space": {"fraction": {"kind": "float", "low": 0.1, "high": 0.2, "log": True}},
            },
            {"method": {"name": "salun", "epochs": 2}, "space": {"variant": {"kind": "choices", "values": ["hard"]}}},
        ],
        "trials": 9,
        "validation": {"kind": "folds", "count": 2},
        "gold": "retrain",
        "seed": 1,
    }
    rng = random.Random(7)  # noqa: S311
    for (method, template, path), body in right.items():
        random_bodies = [_mutate(rng, body) for _ in range(100 if "forget" in path else 30)]
        for wrong in [*_everywhere(body, "a\x00b"), *_everywhere(body, 2**63), *random_bodies]:
            headers = {"Content-Type": "application/json"}
            _check(api, operations[template], method, path, content=json.dumps(wrong), headers=headers)
