"""What a report says in plain words."""

from app.core.params import Kind
from app.domain.findings import Gold
from app.domain.verdict import judge, summary
from tests.app.domain.test_verdict import contrast, finding, samples


def test_it_says_when_nothing_moved() -> None:
    found = judge(Kind.SAMPLES, [finding("accuracy", "forget", 0.99, contrast=contrast(0.0))])
    assert "as if nothing had been done" in summary(Kind.SAMPLES, found, "inconclusive")[-1]


def test_it_compares_with_the_retrained_model() -> None:
    gold = Gold(mean=0.462, std=0.0, models=1)
    found = judge(Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.70, gold=gold)])
    assert summary(Kind.BACKDOOR, found, "inconclusive")[1] == (
        "Shown: with the feature added, answers are right at least as often as those of a model retrained without it "
        "(0.462) (accuracy on kept data with the feature added (D_r,extra): 0.990 before, 0.700 after, 1000 samples)."
    )


def test_it_says_when_the_forgotten_samples_stand_out_by_larger_losses() -> None:
    found = judge(Kind.SAMPLES, samples(contrast(0.0), contrast(-0.2)))
    assert "larger losses" in summary(Kind.SAMPLES, found, "inconclusive")[-1]
    found = judge(Kind.SAMPLES, samples(contrast(0.0), contrast(0.0)))
    assert "larger losses" not in summary(Kind.SAMPLES, found, "pass")[-1]


def test_a_class_that_is_no_longer_answered_but_still_known_is_said_to_be() -> None:
    gold = Gold(mean=0.5, std=0.02, models=2)
    silent = finding("accuracy", "forget", 0.0)
    probed = finding("probe_accuracy", "test_forget", 0.9, before=0.95, gold=gold)
    said = summary(Kind.CLASS, judge(Kind.CLASS, [silent, probed]), "inconclusive")[-1]
    assert said.startswith("Only the outputs moved")
    assert "linear classifier" in said

    forgotten = finding("probe_accuracy", "test_forget", 0.55, before=0.95, gold=gold)
    assert "Only" not in summary(Kind.CLASS, judge(Kind.CLASS, [silent, forgotten]), "inconclusive")[-1]
    still = finding("accuracy", "forget", 0.9)
    assert "Only" not in summary(Kind.CLASS, judge(Kind.CLASS, [still, probed]), "trace_found")[-1]
