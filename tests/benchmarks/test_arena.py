"""The arena's figures by hand, its controls, and all three commands on tiny pictures."""

import io
import json
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from app.architectures.small_cnn import SmallCnnParams
from app.metrics.mia_confidence import MiaConfidenceParams
from benchmarks import arena_report, deepclean, field, random_samples
from benchmarks.arena import Round, clock, drawn, no_op, played, round_of, training
from benchmarks.arena_data import FULL_SIZE, GROUNDS, Data, Ground, read, suited
from benchmarks.arena_tables import gathered, markdown
from benchmarks.standing import Standing, against, standing
from benchmarks.store import Store, Training
from worker import registry
from worker.numerics.errors import NothingToDo
from worker.numerics.examples import Normalisation
from worker.numerics.outcome import Bench, Model, Outcome
from worker.numerics.problem import Problem
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.weights import Weights

TINY = Ground(
    "tiny",
    Normalisation((0.5,), (0.5,)),
    80,
    SmallCnnParams(input_shape=(1, 8, 8), classes=10, width=2, hidden=8),
    Recipe(learning_rate=0.1, epochs=3, batch_size=16),
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, brighter for higher labels, as Parquet: 100 images to train on, 60 to test."""
    data = tmp_path_factory.mktemp("data")
    (data / "tiny").mkdir()
    generator = np.random.default_rng(0)
    for part, n in (("train", 100), ("test", 60)):
        labels = [i % 10 for i in range(n)]
        images = []
        for label in labels:
            file = io.BytesIO()
            pixels = (generator.random((8, 8)) * 100 + 15 * label).astype(np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
            images.append({"bytes": file.getvalue(), "path": None})
        pq.write_table(pa.table({"image": images, "label": labels}), data / "tiny" / f"{part}.parquet")
    return data


@pytest.fixture(scope="session")
def data(folder: Path) -> Data:
    return read(folder, TINY)


@pytest.fixture(scope="session")
def rounds(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Round]:
    store = Store(tmp_path_factory.mktemp("cache"))
    return {s: round_of(TINY, data, store, s, 1, held_out=data.report) for s in ("class", "random")}


def test_the_two_halves_of_the_test_set_share_no_image(data: Data) -> None:
    validation, report = (set(half.positions.tolist()) for half in (data.validation, data.report))
    assert len(validation) == len(report) == 30
    assert not validation & report


def test_networks_of_full_size_are_those_of_the_papers_and_wait_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    millions = {name: round(ground.network.weight_count / 1e6, 1) for name, ground in FULL_SIZE.items()}
    assert millions == {"cifar10_resnet18": 11.2, "cifar10_vgg16": 14.7, "cifar10_vit": 21.3}
    monkeypatch.setattr("benchmarks.arena_data.device", lambda: torch.device("cpu"))
    assert suited() == ["fashion_cnn", "cifar10_cnn"]
    monkeypatch.setattr("benchmarks.arena_data.device", lambda: torch.device("cuda"))
    assert suited() == ["fashion_cnn", "cifar10_cnn", *FULL_SIZE]


def test_no_network_of_full_size_is_too_large_for_what_it_is_compared_with() -> None:
    assert not any(deepclean.LCODEC.too_large(ground.network.weight_count) for ground in FULL_SIZE.values())


def test_what_was_trained_can_be_stored(tmp_path: Path) -> None:
    for name in GROUNDS:
        (tmp_path / name).write_text(json.dumps(arena_report.setting(name)))


def test_on_a_gpu_methods_are_timed_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def waited() -> float:
        started = clock()
        sleep(0.2)
        return clock() - started

    monkeypatch.setattr("benchmarks.arena.device", lambda: torch.device("cpu"))
    assert waited() < 0.1
    monkeypatch.setattr("benchmarks.arena.device", lambda: torch.device("cuda"))
    assert waited() >= 0.2


def test_another_seed_draws_other_samples_and_another_class(data: Data) -> None:
    (one, none), (other, _) = (drawn(data.train, "random", seed) for seed in (1, 2))
    assert int(one.sum()) == int(other.sum()) == 8
    assert not torch.equal(one, other)
    assert none is None
    asked, forgotten = drawn(data.train, "class", 13)
    assert forgotten == 3
    assert torch.equal(asked, data.train.labels == 3)


def test_the_distance_to_gold_by_hand() -> None:
    golds = [Standing(80, 99, 88, 0, 70, 50), Standing(90, 100, 90, 0, 74, 54)]
    row = against(Standing(95, 97.5, 87, 0, 82, 60), golds)
    assert row["gap"] == pytest.approx((10 + 2 + 2 + 10) / 4)
    assert row["tow"] == pytest.approx(100 * 0.9 * 0.98 * 0.98)
    assert (row["delta_acc_df"], row["delta_mia"], row["delta_auc"]) == (10, 10, 8)


@pytest.mark.parametrize("scenario", ["class", "random"])
def test_the_attack_is_that_of_the_metric(rounds: dict[str, Round], scenario: str) -> None:
    problem = rounds[scenario].problem
    sets = rounds[scenario].sets._replace(forget=rounds[scenario].sets.retain)  # more of them, so finer shares
    model = Model(problem.build, problem.old)
    named = {"forget": sets.forget, "retain": sets.retain, "test": sets.test}
    for seed in range(4):
        bench = Bench(model, model, (), named, "samples", 10, seed, Quiet())
        finding = registry.measure(bench, MiaConfidenceParams())[0]
        assert finding.after > 0
        assert standing(model, sets, seed=seed).mia == pytest.approx(100 * finding.after)


@pytest.mark.parametrize("scenario", ["class", "random"])
def test_golds_never_saw_what_is_forgotten(data: Data, tmp_path: Path, scenario: str) -> None:
    seen: list[tuple[int, set[int]]] = []

    class Watched(Store):
        def trained(self, training: Training) -> Weights:
            seen.append((training.seed, set(training.examples.positions.tolist())))
            return super().trained(training)

    problem = round_of(TINY, data, Watched(tmp_path), scenario, 1, held_out=data.report).problem
    assert problem.forget
    forgotten, everything = (set(part.positions.tolist()) for part in (problem.forget, data.train))
    assert [positions for _, positions in seen] == [everything, *[everything - forgotten] * 2]
    assert len({seed for seed, _ in seen}) == 3


def test_a_row_has_the_distance_and_what_gold_costs_beside_it(rounds: dict[str, Round]) -> None:
    row = played(rounds["random"], deepclean.methods("random")["finetune"])
    assert row["speedup_over_gold"] == pytest.approx(row["gold_seconds"] / row["seconds"])
    assert row["gold_seconds"] > 0
    assert "seconds" not in played(rounds["random"], no_op)


def test_what_a_method_refuses_is_its_row(rounds: dict[str, Round]) -> None:
    def refuses(_: Problem) -> Outcome:
        raise NothingToDo("nothing")

    assert played(rounds["class"], refuses) == {"failed": "NothingToDo: nothing"}
    assert gathered([{"failed": "a"}, {"gap": 1.0}, {"gap": 3.0}])["gap"]["n"] == 2
    assert "NothingToDo" in markdown({"x": {"failed": ["NothingToDo: nothing"]}})


def test_a_random_choice_leaves_the_others_bit_identical(rounds: dict[str, Round]) -> None:
    problem = rounds["random"].problem
    outcome = deepclean.random_mask(problem, fraction=0.2, epochs=1)
    moved = sum(int((outcome.weights[name] != old).sum()) for name, old in problem.old.items())
    of = sum(old.numel() for old in problem.old.values())
    assert outcome.facts["selected_fraction"] == pytest.approx(0.2, abs=0.01)
    assert 0.05 < moved / of <= 0.21


def test_what_is_reported_was_searched() -> None:
    assert set(random_samples.CHOSEN) <= random_samples.SEARCH.keys()


def test_only_what_the_search_found_better_is_tried_on_more_data(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "finetune": {"better": True, "found": {"name": "finetune", "epochs": 2}},
        "ssd": {"better": False, "found": {"name": "ssd", "dampening": 0.5}},
        "ntk_scrub": {"trials": 2, "failed": 2},
    }
    monkeypatch.setattr(field, "stored", lambda: {"class": rows, "samples": {}})
    assert [*field.candidates("class")] == ["no_op", "finetune", "finetune_found", *field.CHANGED]
    assert [*field.candidates("random")] == ["no_op", *field.CHANGED]


def test_the_last_layers_start_again(rounds: dict[str, Round]) -> None:
    problem = rounds["random"].problem
    other = {name: torch.zeros_like(old) if name[0] in "79" else old for name, old in problem.old.items()}
    way = random_samples.Again(epochs=1, last=2)
    one, two = (random_samples.again(replace(problem, old=old), way) for old in (problem.old, other))
    assert all(torch.equal(t, two.weights[name]) for name, t in one.weights.items())
    three = random_samples.again(replace(problem, old=other), random_samples.Again(epochs=1, last=1))
    assert not torch.equal(three.weights["7.weight"], one.weights["7.weight"])


def test_shrunk_to_nothing_it_is_training_from_the_start(rounds: dict[str, Round]) -> None:
    problem = rounds["random"].problem
    other = {name: torch.zeros_like(old) for name, old in problem.old.items()}
    way = random_samples.Again(epochs=1, shrink=0.0)
    one = random_samples.again(problem, way)
    two = random_samples.again(replace(problem, old=other), way)
    assert all(torch.equal(t, two.weights[name]) for name, t in one.weights.items())


def test_a_training_is_kept(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    first = store.trained(training(TINY, data.train, 1))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("benchmarks.store.train", never)
    again = store.trained(training(TINY, data.train, 1))
    assert all(torch.equal(t, again[name]) for name, t in first.items())
    wider = TINY._replace(network=TINY.network.model_copy(update={"width": 3}))
    darker = TINY._replace(normalisation=Normalisation((0.1,), (0.2,)))
    faster = TINY._replace(recipe=Recipe(learning_rate=0.2, epochs=3, batch_size=16))
    for ground, examples, seed in (
        (TINY, data.train, 2),
        (TINY, data.report, 1),
        (faster, data.train, 1),
        (wider, data.train, 1),
        (darker, data.train, 1),
    ):
        with pytest.raises(AssertionError, match="trained again"):
            store.trained(training(ground, examples, seed))


def test_every_command_stores_ground_by_ground(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arena_report, "RESULTS", tmp_path)
    for name in ("fashion_cnn", "cifar10_cnn"):
        monkeypatch.setitem(GROUNDS, name, TINY)
    few = {"no_op": no_op, "finetune": deepclean.methods("class")["finetune"]}
    monkeypatch.setattr(deepclean, "methods", lambda _: few)
    where = ["--data", str(folder), "--cache", str(tmp_path / "cache"), "--seeds", "2"]
    threads = torch.get_num_threads()
    for ground in ("fashion_cnn", "cifar10_cnn"):
        deepclean.main([*where, "--ground", ground])
    monkeypatch.setattr(random_samples, "SEARCH", few)
    random_samples.main([*where, "--search", "--ground", "fashion_cnn"])
    monkeypatch.setattr(random_samples, "CHOSEN", tuple(few))
    random_samples.main([*where, "--quick"])
    field.main([*where, "--quick"])
    monkeypatch.setattr(field, "candidates", lambda _: few)
    field.main([*where, "--search"])
    torch.set_num_threads(threads)
    found = json.loads((tmp_path / "deepclean.json").read_text())
    assert found["models"].keys() == {"fashion_cnn", "cifar10_cnn"}
    figures = found["models"]["fashion_cnn"]["random"]["finetune"]
    assert {"acc_dr", "delta_acc_df", "delta_mia", "gap", "delta_auc", "seconds", "speedup_over_gold"} <= figures.keys()
    assert figures["gap"].keys() == {"mean", "std", "n", "ci95"}
    assert figures["gap"]["n"] == 2
    assert (tmp_path / "random_samples_search.json").exists()
    assert not (tmp_path / "field.json").exists()
    assert json.loads((tmp_path / "field_search.json").read_text())["models"]["fashion_cnn"]["class"]["finetune"]
    printed = capsys.readouterr().out
    assert "| sparse |" in printed
    assert "fashion_cnn.random seed 1000" in printed
