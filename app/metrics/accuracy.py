"""Parameters of `accuracy`: how often the model is right, on every set that the request's kind has."""

from typing import ClassVar, Literal

from app.core.params import MetricParams


class AccuracyParams(MetricParams):
    """Accuracy on D_r, D_f, D_f,clean, D_r,extra and held-out data, each where it exists."""

    paper: ClassVar[str] = (
        "Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020"
    )

    name: Literal["accuracy"] = "accuracy"
