"""Whether a process is dead is said only where that is certain."""

import os
import subprocess
import sys

import pytest

from app.core import processes
from app.core.processes import identity, is_dead, resident_bytes

SAY = "from app.core.processes import identity; print(identity(), flush=True); input()"


def test_a_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen((sys.executable, "-c", SAY), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        name = child.stdout.readline().decode().strip()
        assert not is_dead(name)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)  # nobody has waited for it: it is a zombie
        child.wait()
        assert is_dead(name)
    assert not is_dead(identity())


def test_a_process_id_that_is_used_again_does_not_revive_the_dead() -> None:
    place, _, started = identity().rpartition(":")
    assert is_dead(f"{place}:{int(started) - 1}")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_of_another_host_boot_or_namespace_nothing_is_known(part: int) -> None:
    parts = identity().split(":")
    parts[part], parts[3] = "another", "999999999"
    assert not is_dead(":".join(parts))


@pytest.mark.parametrize("name", ["", "w1", "host:1", ":::::", "a:b:c:d:e"])
def test_what_is_no_identity_is_not_dead(name: str) -> None:
    assert not is_dead(name)


def test_without_proc_nobody_is_called_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert not is_dead(identity())
    assert resident_bytes(os.getpid()) == 0


def test_the_memory_of_a_session_is_that_of_all_its_processes() -> None:
    program = "import os; os.fork(); x = bytearray(30_000_000); print(flush=True); input()"
    with subprocess.Popen(
        (sys.executable, "-c", program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.readline()
        assert 60_000_000 < resident_bytes(child.pid) < 200_000_000
        assert child.stdin is not None
        child.stdin.write(b"\n\n")
