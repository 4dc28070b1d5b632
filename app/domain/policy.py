"""What a model's operator asks of every change: who approves, what an audit must show, who releases, who purges."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.rules import STANDARD, STRICT, Policy

Approval = Literal["none", "one", "four_eyes"]
Release = Literal["manual", "auto", "hold", "four_eyes"]
Purge = Literal["one", "four_eyes"]
Releasable = Literal["pass", "inconclusive", "mitigation_only"]
"""No policy releases a version in which a trace was found; that takes an override."""
Measure = Literal["accuracy", "attack_auc", "reference_auc", "lira_auc", "rmia_auc"]

APPROVERS: Mapping[Approval, int] = {"none": 0, "one": 1, "four_eyes": 2}
"""How many keys approve, none of them the one that submitted."""
RELEASERS: Mapping[Release, int] = {"manual": 0, "auto": 1, "hold": 1, "four_eyes": 2}
"""How many keys release, where the policy itself does not."""
PURGERS: Mapping[Purge, int] = {"one": 1, "four_eyes": 2}
"""How many different keys have a version destroyed."""
BY_LEVEL: Mapping[str, Policy] = {"standard": STANDARD, "strict": STRICT}


class ModelPolicy(BaseModel):
    """The policy of a model. Each request keeps the one under which it was accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    approval: Approval = "none"
    """`one`: a request waits for a key other than the submitter's; `four_eyes`: for two such keys."""
    release: Release = "manual"
    """`manual`: the new version is ready, and the caller moves the alias. `hold`: the version is held until one release
    moves the alias; `four_eyes`: until two different keys have released. `auto`: if the verdict is pass and the alias
    still points to where the request began, it is moved at once; if not, as `hold`."""
    release_on: Annotated[list[Releasable], Field(min_length=1, max_length=3)] = Field(default=["pass"])
    """Verdicts that may be released. `auto` goes by itself on a pass only."""
    override: bool = False
    """Whether a release may say `override`, with a reason, to release what the policy does not."""
    needs_gold: bool = False
    """Requests whose audit has no gold models are refused."""
    margin: Literal["standard", "strict"] = "standard"
    """How far a judged number may lie from what never having seen the data would show: 5 points, or 2."""
    margins: dict[Measure, Annotated[float, Field(ge=0.005, le=0.25)]] = Field(default_factory=dict)
    """Margins of single measures, as shares of 1."""
    purge: Purge = "one"
    """`four_eyes`: the files of a version are destroyed when two different keys have asked for it."""

    @property
    def judging(self) -> Policy:
        """As the rules of the verdict take it."""
        level = BY_LEVEL[self.margin]
        return Policy(
            margin=level.margin, slack=level.slack, margins={str(name): margin for name, margin in self.margins.items()}
        )


def policy_of(stored: Mapping[str, Any] | None) -> ModelPolicy:
    """From a row; rows that are older than policies have the default."""
    return ModelPolicy() if stored is None else ModelPolicy.model_validate(stored)
