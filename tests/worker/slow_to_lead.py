"""What a busy machine does to a forked child: it leads a session only after a while."""

import os
import time

from tests.worker import made_up
from worker import run_job


def load() -> tuple[run_job.Stories, run_job.Follow]:
    setsid = os.setsid

    def late() -> None:
        time.sleep(0.2)
        setsid()

    os.setsid = late
    return made_up.load()
