"""Expected failures of a computation: each says what is wrong and what to do about it."""


class NumericsError(Exception):
    """Root of the tree. `code` is stable and reaches the caller as the job's `status_reason`."""

    code = "numerics"


class NonFinite(NumericsError):
    """A loss, gradient or weight became NaN or infinite; nothing is stored."""

    code = "non_finite"


class NothingToDo(NumericsError):
    """A selection is empty or the method changed no weight: reported as a failure, never as success."""

    code = "no_effect"


class EmptyExamples(NumericsError):
    """A set that the method needs has no examples."""

    code = "empty_examples"


class ForgetsTooMuch(NumericsError):
    """More is to be forgotten than the method can tell from what is kept."""

    code = "forgets_too_much"


class StaleFisher(NumericsError):
    """A stored Fisher belongs to other weights, data or preprocessing."""

    code = "stale_fisher"


class Misfit(NumericsError):
    """Weights, Fisher and network do not agree in names or shapes."""

    code = "misfit"


class SamplesMixed(NumericsError):
    """The outputs for one sample depend on the others of its batch: there is no gradient of one sample."""

    code = "samples_mixed"


class TooLarge(NumericsError):
    """A matrix would be larger than what was allowed; nothing was allocated."""

    code = "too_large"


class NotConverged(NumericsError):
    """An iteration did not come as close as it has to."""

    code = "not_converged"
