"""A report in the words of people who know no statistics: what stands on its first page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.findings import BY_ATTACK, USUAL_ATTACKS, to_be_told_apart

Body = Mapping[str, Any]
"""`ReportBody`, as it was signed."""

HEADLINES = {
    "pass": "No trace was found",
    "trace_found": "Traces are left",
    "inconclusive": "Undecided",
    "mitigation_only": "Filtered, not forgotten",
}
MEANING = {
    "pass": "Nothing that was measured tells this model from one that never saw the data, and there was enough data to"
    " notice a difference of the stated size.",
    "trace_found": "The model can still be told from one that never saw the data. It must not be reported as"
    " forgotten.",
    "inconclusive": "The measurements neither show a trace beyond doubt nor rule one out.",
    "mitigation_only": "The answers of the model are filtered. Its weights still know the data: this is no erasure.",
}
ADVICE = {
    "pass": "Deploy the new version, retire the old one, and keep this report.",
    "trace_found": "Do not close the request on this ground. Use a stronger method, or train the model again without"
    " the data.",
    "inconclusive": "Do not report the data as forgotten on this ground alone. More held-out data or more retrained"
    " models to compare with can decide it; training the model again without the data does in any case.",
    "mitigation_only": "Use it only until the data has been forgotten by another method.",
}
KINDS = {
    "samples": "single {things}",
    "subjects": "all {things} of some persons",
    "class": "a whole class",
    "backdoor": "a hidden trigger in some {things}",
    "leakage": "a leaked feature in some {things}",
}
ACCURACIES = {
    "forget": "Of 100 forgotten {things} the model recognises {after}",
    "forget_clean": "Of 100 of those {things} without the feature the model recognises {after}",
    "retain": "Of 100 {things} that were kept the model recognises {after}",
    "retain_extra": "Of 100 kept {things} with the feature added the model recognises {after}",
    "test": "Of 100 {things} that it was never trained on the model recognises {after}",
    "test_forget": "Of 100 unseen {things} of the forgotten class the model recognises {after}",
}
SENTENCES = {
    "attack_auc": "Shown a forgotten and a never-seen {thing}, an attacker tells which is which {after} times in 100,"
    " and 50 times by blind guessing",
    "reference_auc": "The same attacker, helped by a retrained model, succeeds {after} times in 100",
    "predicted_member": "An attacker takes {after} of 100 forgotten {things} for training data",
    "probe_accuracy": "Its inner layers tell {after} of 100 unseen {things} of the class from others",
    "relearn_share": "Taught the class again, the model needs {after} of 100 steps of the lesson",
}
SAID_OF: Mapping[str, tuple[tuple[str, str], ...]] = {
    "class": (
        ("attack_auc", "forget"),
        ("reference_auc", "forget"),
        ("probe_accuracy", "test_forget"),
        ("relearn_share", "forget"),
    ),
}
"""What is said beside the accuracies: of a class, what may be left of it under the answers."""
SAID_OF_OTHERS = (("attack_auc", "forget"), ("reference_auc", "forget"), ("predicted_member", "forget"))
OUTCOMES = {"pass": "shown", "fail": "not so", "inconclusive": "undecided", "not_judged": ""}
TAGS = {"pass": "as it should be", "fail": "not as it should be", "inconclusive": "cannot be told", "not_judged": ""}
SETS = {
    "forget": "D_f, the data to be forgotten",
    "forget_clean": "D_f without the feature",
    "retain": "D_r, the training data that is kept",
    "retain_extra": "kept data with the feature added",
    "test": "held-out data: no model was trained on it",
    "test_forget": "held-out data of the forgotten class",
    "test_extra": "held-out data with the feature added",
}
MEASURES = {
    "accuracy": "share of right answers",
    "attack_accuracy": "how often the loss tells an attacker forgotten from held-out samples; 0.5 is guessing",
    "attack_auc": "how often a forgotten sample has a smaller loss than a held-out one; 0.5 is guessing",
    "predicted_member": "share of D_f that an attacker takes for training data",
    "efficacy": "1 less predicted member",
    "reference_auc": "attack auc, with the loss taken relative to models that never saw D_f",
    "lira_auc": "area of the likelihood-ratio attack; 0.5 is guessing",
    "lira_tpr_at_1_percent": "share of D_f that this attack finds while it accuses 1 of 100 others",
    "lira_tpr_at_01_percent": "share of D_f that this attack finds while it accuses 1 of 1,000 others",
    "rmia_auc": "area of the relative membership attack; 0.5 is guessing",
    "probe_accuracy": "how often a linear classifier on the hidden features recognises the class",
    "relearn_share": "steps until D_f is answered again, as a share of the steps allowed; 1: it is not",
    "attack_success_rate": "share of held-out samples that the trigger leads to its class",
    "robust_accuracy": "share of held-out samples answered rightly in spite of the trigger",
    "activation_distance": "distance of the answers on D_f to those of retrained models",
    "js_divergence": "Jensen-Shannon divergence of the answers on D_f from those of retrained models, at most 0.693",
    "verification_error": "distance of the weights to those of retrained models; gold: between two of these",
    "unlearning_error": "how far the weights can be from retrained ones, as foretold from how they were trained",
    "tow": "closeness to a retrained model on all sets at once; 1 is equal",
    "forgetting_quality": "how alike many runs of the method and many retrainings answer D_f; 0: each sample tells",
    "challenge_score": "forgetting quality times the accuracies kept on D_r and held-out data, relative to retraining",
}
ATTACKS = {
    "confidence": "the attacker takes samples for training data of whose class the model is sure",
    "correctness": "the attacker takes samples for training data that are answered rightly",
    "entropy": "the attacker takes samples for training data that are answered surely, rightly or not",
    "modified_entropy": "the attacker takes samples for training data that are answered surely and rightly",
}
"""Of measures that several attacks give."""


@dataclass(frozen=True)
class Statement:
    """One sentence with numbers, and how sure they are."""

    sentence: str
    certainty: str
    outcome: str


def statements(body: Body) -> list[Statement]:
    """The findings that somebody outside the field can make sense of, the forgotten data first."""
    usual = [f for f in body["findings"] if f["measure"] not in BY_ATTACK or f["attack_feature"] in USUAL_ATTACKS]
    found = {(f["measure"], f["on"]): f for f in usual}
    order = [("accuracy", on) for on in ACCURACIES] + [*SAID_OF.get(body["asked"]["kind"], SAID_OF_OTHERS)]
    return [_statement(found[key], body) for key in order if key in found]


def _statement(finding: Mapping[str, Any], body: Body) -> Statement:
    accuracy = finding["measure"] == "accuracy"
    words = ACCURACIES[finding["on"]] if accuracy else SENTENCES[finding["measure"]]
    things = body["subject"].get("inputs", "records")
    said = words.format(things=things, thing=things.rstrip("s"), after=of_100(finding["after"]))
    beside = [f"before: {of_100(finding['before'])}"]
    if finding["gold"] is not None:
        beside.append(f"retrained without the data: {of_100(finding['gold']['mean'])}")
    said += f" ({'; '.join(beside)})"
    low, high = finding["interval"]
    certainty = f"From {finding['n']:,} {things}: between {of_100(low)} and {of_100(high)} with 95\u00a0% certainty."
    if finding["measure"] == "relearn_share":
        certainty = f"From lessons of {finding['n']:,} {things}: few steps mean that it was never really gone."
    return Statement(f"{said}.", certainty, TAGS[finding["outcome"]])


def of_100(share: float) -> str:
    """A share as a whole number out of a hundred; never 0 or 100 for what is not exactly that."""
    if 0 < share < 0.005:
        return "fewer than 1"
    if 0.995 < share < 1:
        return "more than 99"
    return f"{100 * share:.0f}"


def facts(body: Body) -> list[tuple[str, str]]:
    """Who, what, when."""
    asked, subject = body["asked"], body["subject"]
    things = subject.get("inputs", "records")
    method = asked["method"]["name"] if asked["method"] else "unknown: it was carried out elsewhere"
    gold = next((f["gold"]["models"] for f in body["findings"] if f["gold"]), 0)
    rows = [
        ("Request", asked["forget_request"] or "none: a stand-alone audit"),
        ("Your reference", asked["external_id"] or ""),
        ("Received", f"{day(asked['received_at'])}{', due ' + day(asked['due_at']) if asked['due_at'] else ''}"),
        ("Model", subject["model"]),
        ("To be forgotten", f"{KINDS[asked['kind']].format(things=things)}: {asked['samples']:,} {things}"),
        ("Method", f"{method}, chosen by {asked['method_chosen_by']}" if asked["method"] else method),
        ("Compared with", f"{gold} model{'s' * (gold != 1)} that never saw the data" if gold else "no such model"),
        ("Report", f"{body['report']}, made {day(body['made_at'])}"),
    ]
    return [(name, value) for name, value in rows if value]


def day(moment: str | None) -> str:
    """A date that no country reads in another way."""
    return "" if moment is None else f"{datetime.fromisoformat(moment):%d %B %Y}"


def findings_table(body: Body) -> list[list[str]]:
    """Every finding, number by number."""
    return [
        [
            name,
            f["on"],
            f"{f['n']:,}",
            number(f["before"]),
            number(f["no_op"]),
            f"{number(f['after'])} [{number(f['interval'][0])}, {number(f['interval'][1])}]",
            f"{number(f['gold']['mean'])} ± {number(f['gold']['std'])}" if f["gold"] else "none",
            OUTCOMES[f["outcome"]],
        ]
        for name, f in zip(names(body), body["findings"], strict=True)
    ]


def names(body: Body) -> list[str]:
    """What each finding is of: the measure, and the attack where it does not go without saying."""
    apart = _to_be_told_apart(body)
    words = ((f["measure"], f["attack_feature"]) for f in body["findings"])
    return [
        f"{measure} ({attack})".replace("_", " ") if measure in apart else measure.replace("_", " ")
        for measure, attack in words
    ]


def _to_be_told_apart(body: Body) -> frozenset[str]:
    return to_be_told_apart((f["measure"], f["attack_feature"]) for f in body["findings"])


def glossary(body: Body) -> list[tuple[str, str]]:
    """What the measures, the attacks and the sets of the table are."""
    measures, apart = {f["measure"]: None for f in body["findings"]}, _to_be_told_apart(body)
    attacks = {f["attack_feature"]: None for f in body["findings"] if f["measure"] in apart}
    sets = {f["on"]: None for f in body["findings"]}
    return [
        *((name.replace("_", " "), MEASURES[name]) for name in measures if name in MEASURES),
        *((name.replace("_", " "), ATTACKS[name]) for name in attacks if name in ATTACKS),
        *((name, SETS[name]) for name in sets if name in SETS),
    ]


FINDINGS_HEAD = ["measure", "on", "n", "before", "nothing done", "after [95 %]", "gold ± std", "judged"]


def number(value: float) -> str:
    """Three digits behind the point, four significant ones for what is large."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"


def technical(body: Body) -> list[tuple[str, list[tuple[str, str]]]]:
    """Parameters, hashes, cost and surroundings, by heading."""
    subject, cost, asked = body["subject"], body["cost"], body["asked"]
    method, gold = cost["unlearning_seconds"], cost["gold_seconds"]
    seconds = {
        "method, with every Fisher diagonal that it computed": method,
        "Fisher diagonal stored before, once for all requests": cost.get("stored_fisher_seconds"),
        "one retraining, by an earlier audit" if cost.get("golds_reused") else "one retraining": gold,
        "method, in retrainings": method / gold if method is not None and gold else None,
        "measuring": cost["audit_seconds"],
        "figures": cost.get("drawing_seconds"),
    }
    return [
        ("Method", [*_flat(asked["method"] or {}), ("paper", asked["paper"]), ("guarantee", asked["guarantee"])]),
        ("What the method reported", _flat(body["method_facts"])),
        ("Samples in every set", _flat(body["sizes"])),
        (
            "What it speaks of, with SHA-256",
            [
                ("version before", subject["base_version"]),
                ("its weights", subject["base_weights_sha256"]),
                ("version after", subject["new_version"]),
                ("its weights", subject["new_weights_sha256"]),
                ("data set", subject["dataset"]),
                ("its files", subject["dataset_sha256"]),
            ],
        ),
        ("Seconds", [(name, f"{value:.2f}") for name, value in seconds.items() if value is not None]),
        ("Policy of the model", _policy(asked.get("policy"))),
        ("Ran on", [*_flat(body["environment"]), ("seed", str(asked["seed"]))]),
    ]


def _policy(policy: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the model's operator asked for when the request was accepted; reports that are older say nothing of it."""
    if policy is None:
        return []
    flat = {**policy, "release_on": " or ".join(policy["release_on"]), "margins": ""}
    own = [(f"margin of {name.replace('_', ' ')}", number(margin)) for name, margin in policy["margins"].items()]
    return [row for row in _flat(flat) if row[1]] + own


def _flat(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), f"{v:.6g}" if isinstance(v, float) else str(v)) for name, v in document.items()]
