"""A run that keeps checkpoints in memory, remembers what it was told, and stops when asked."""

from worker.numerics.run import Cancelled, Checkpoint, Quiet


class Recorder(Quiet):
    def __init__(self, *, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.told: list[tuple[str, int, int, str]] = []
        self.kept: dict[str, Checkpoint] = {}

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        self.told.append((phase, completed, total, unit))
        if self.stop_at is not None and completed >= self.stop_at:
            raise Cancelled

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        self.kept[name] = ({key: tensor.clone() for key, tensor in checkpoint[0].items()}, dict(checkpoint[1]))

    def saved(self, name: str) -> Checkpoint | None:
        return self.kept.get(name)
