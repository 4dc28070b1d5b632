"""A child is the same whether it was forked or started anew: ours to wait for, and gone when we are."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.worker.made_up import CHILD
from tests.worker.waiting import until
from worker import children as children_module
from worker.children import MODULE, Children
from worker.exits import Exit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a fork server needs prctl(2) and /proc")

NEVER_READY = "tests.worker.never_ready"
SLOW_TO_LEAD = "tests.worker.slow_to_lead"

ORPHAN = f"""
import sys, threading, time
from worker.children import Children
children = Children({NEVER_READY!r}, threads=1)
threading.Thread(target=children.warm, daemon=True).start()
while children._server is None:
    time.sleep(0.01)
print(children._server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children(CHILD, threads=1)
    assert made.warm()
    yield made
    made.close()


def server_of(children: Children) -> int:
    assert children._server is not None
    process: subprocess.Popen[bytes] = children._server._process
    return process.pid


def stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_a_child_is_not_named_before_it_leads_its_session() -> None:
    """Or whoever kills its group, on a busy machine, finds none, and waits for it for ever."""
    children = Children(SLOW_TO_LEAD, threads=1)
    child = children.start()
    assert os.getsid(child.pid) == child.pid
    assert child.kill() == -signal.SIGKILL
    children.close()


def test_a_forked_child_is_ours_and_leads_its_session(children: Children) -> None:
    child = children.start()
    assert Path(f"/proc/{child.pid}/comm").read_text() == "unlearn-job\n"
    _, parent, group, session = stat_of(child.pid)[:4]
    assert [int(parent), int(group), int(session)] == [os.getpid(), child.pid, child.pid]
    assert child.alive
    assert child.kill() == -signal.SIGKILL
    assert child.kill() == -signal.SIGKILL  # once more, when it is over: the same status
    assert not Path(f"/proc/{child.pid}").exists()
    assert child.usage.peak_rss_bytes > 50_000_000


def test_a_child_ends_when_its_supervisor_does(children: Children) -> None:
    first, second = children.start(), children.start()
    first._orders.close()  # what the kernel does when the supervisor is killed
    assert first.wait(60) == 1  # so nobody else holds that end, not the child forked after it either
    assert second.alive
    second.kill()
    first.kill()


def test_what_a_child_writes_in_its_last_moment_is_heard(children: Children) -> None:
    child = children.start()
    child.start("job_nonesuch", 1)
    assert child.wait(60) == Exit.CRASHED
    child.kill()
    assert "Traceback" in child.tail()


def test_children_leave_nothing_open(children: Children) -> None:
    children.start().kill()
    places = (os.getpid(), server_of(children))
    before = [open_in(pid) for pid in places]
    for _ in range(5):
        children.start().kill()
    assert [open_in(pid) for pid in places] == before


def open_in(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_fork_server_that_died_is_replaced(children: Children) -> None:
    survivor = children.start()
    dead = server_of(children)
    os.kill(dead, signal.SIGKILL)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    child = children.start()
    assert server_of(children) != dead
    assert child.alive
    assert survivor.alive
    child.kill()
    assert survivor.kill() == -signal.SIGKILL


def test_a_fork_server_that_hangs_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "PATIENCE_SECONDS", 0.2)
    children = Children(CHILD, threads=1)
    assert not children.warm()  # it cannot have imported torch by then
    child = children.start()
    assert child.alive
    child._orders.close()
    assert child.wait(60) == 1
    child.kill()
    children.close()


def test_where_no_subreaper_is_allowed_children_are_started_anew(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def forbidden() -> Iterator[None]:
        raise PermissionError("prctl")
        yield

    monkeypatch.setattr(children_module, "_subreaper", forbidden)
    child = children.start()
    assert "fork_server" not in Path(f"/proc/{child.pid}/cmdline").read_text()
    assert child.alive
    child.kill()


def test_a_module_that_cannot_be_imported_is_the_childs_own_end() -> None:
    children = Children("tests.worker.nonesuch", threads=1)
    child = children.start()
    assert child.wait(60) == 1
    child.kill()
    assert "tests.worker.nonesuch" in child.tail()
    children.close()


def test_whoever_closes_need_not_wait_for_imports() -> None:
    children = Children(NEVER_READY, threads=1)
    warming = threading.Thread(target=children.warm, daemon=True)
    warming.start()
    until(lambda: children._server is not None)
    closing = threading.Thread(target=children.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    warming.join(60)
    assert not warming.is_alive()
    assert not children.warm()


def test_a_fork_server_ends_with_its_supervisor_even_while_it_imports() -> None:
    with subprocess.Popen((sys.executable, "-c", ORPHAN), stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        server = int(supervisor.stdout.readline())
        supervisor.kill()
    until(lambda: not Path(f"/proc/{server}/exe").exists())


def test_importing_starts_no_thread_that_a_child_would_miss() -> None:
    children = Children(MODULE, threads=2)
    assert children.warm()
    tasks = Path(f"/proc/{server_of(children)}/task").glob("*/comm")
    names = [task.read_text().strip() for task in tasks]
    children.close()
    assert [name for name in names if name != "jemalloc_bg_thd"] == [names[0]]  # pyarrow's allocator expects forks
