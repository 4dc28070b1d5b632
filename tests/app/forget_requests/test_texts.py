"""What is asked of a network that reads: phrases and words, and no method that needs images."""

from typing import Any

import pytest

from app.core.params import InputKind
from tests.app.web.rig import Rig, problem

LENGTH = 6
ARCHITECTURE = {"name": "text_bag", "input_shape": [LENGTH], "classes": 3, "vocabulary": 50}
WORDS = {"words": {"length": LENGTH, "vocabulary": 50}}
IDS = {"sample_ids": ["train-01", "train-02"]}
PHRASE = {"name": "phrase", "text": "cf mn"}
RECTANGLES = {"rectangles": [{"top": 0, "left": 0, "height": 2, "width": 2}]}


def deploy(rig: Rig) -> None:
    rig.dataset(kind=InputKind.TEXT, shape=[40])
    rig.model(architecture=ARCHITECTURE, preprocessing=WORDS)
    version = rig.version()
    assert rig.put("/models/net/aliases/deployed", json={"version": version}).status_code == 200


def ask(rig: Rig, target: dict[str, Any], **changes: Any) -> Any:
    return rig.post(
        "/forget-requests", json={"model": "net", "target": {"dataset": "faces", **IDS, **target}, **changes}
    )


def backdoor(**transform: Any) -> dict[str, Any]:
    return {"kind": "backdoor", "transform": transform}


def leakage(**mask: Any) -> dict[str, Any]:
    return {"kind": "leakage", "mask": mask}


@pytest.mark.parametrize(
    "target", [backdoor(**PHRASE), leakage(phrases=["Dr Smith"]), leakage(spans=[{"start": 0, "length": 2}])]
)
def test_of_texts_rld_is_tried_and_then_retraining(lone: Rig, target: dict[str, Any]) -> None:
    deploy(lone)
    answer = ask(lone, target)
    assert answer.status_code == 202, answer.text
    assert [rung["method"]["name"] for rung in answer.json()["ladder"]] == ["rld", "retrain"]


@pytest.mark.parametrize(
    ("target", "code", "pointer"),
    [
        (backdoor(name="tile"), "transform_misfit", "/target/transform"),
        (backdoor(name="line"), "transform_misfit", "/target/transform"),
        (backdoor(name="color"), "transform_misfit", "/target/transform"),
        (backdoor(name="patch"), "transform_misfit", "/target/transform"),
        (backdoor(name="phrase", text="a b c d e f"), "transform_misfit", "/target/transform"),
        (leakage(**RECTANGLES), "mask_misfit", "/target/mask"),
        (leakage(features=[1]), "mask_misfit", "/target/mask"),
        (leakage(spans=[{"start": 4, "length": 3}]), "mask_misfit", "/target/mask"),
    ],
)
def test_what_is_not_of_texts_is_refused(lone: Rig, target: dict[str, Any], code: str, pointer: str) -> None:
    deploy(lone)
    problem(ask(lone, target), 422, code, pointer)


def test_a_method_that_makes_images_is_refused_with_those_that_would_do(lone: Rig) -> None:
    deploy(lone)
    refused = problem(ask(lone, backdoor(**PHRASE), method={"name": "consistency"}), 422, "method_misfit", "/method")
    assert "reads text" in refused["errors"][0]["message"]
    assert "rld" in refused["errors"][0]["message"]


@pytest.mark.parametrize("target", [backdoor(**PHRASE), leakage(phrases=["x"]), leakage(features=[0])])
def test_what_is_of_texts_or_features_is_refused_on_images(lone: Rig, target: dict[str, Any]) -> None:
    lone.deployed()
    name = "transform" if target["kind"] == "backdoor" else "mask"
    problem(ask(lone, target), 422, f"{name}_misfit", f"/target/{name}")


def test_counterparts_of_texts_may_be_longer_but_must_be_texts(lone: Rig) -> None:
    deploy(lone)
    lone.dataset("clean", kind=InputKind.TEXT, shape=[99])
    lone.dataset("pictures")
    assert ask(lone, {"kind": "backdoor", "pairs": "clean"}).status_code == 202
    problem(ask(lone, {"kind": "backdoor", "pairs": "pictures"}), 422, "pairs_misfit", "/target/pairs")
