"""A PostgreSQL cluster for a test or a benchmark: made in a temporary folder, killed and started at will,
removed.

PostgreSQL refuses to run as root; there it runs as the user `postgres` that its package made.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None where PostgreSQL is not installed."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None
    )


class ThrowawayPostgres:
    """One cluster with one database, `hearten`, reachable without a password on 127.0.0.1 only."""

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        self._bin = found
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="hearten-pg-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "hearten", "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"postgresql://hearten@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *args: str) -> None:
        command = [str(self._bin / program), *args]
        subprocess.run(
            command, check=True, capture_output=True, cwd=self._folder, user=self._user, timeout=60
        )

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers; dying backends hold its memory for a
        moment.
        """
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        log = str(self._folder / "log")
        for attempt in range(20):
            try:
                self._run(
                    "pg_ctl", "-D", str(self._data), "-w", "-t", "50", "-l", log, "-o", options, "start"
                )
                return
            except subprocess.CalledProcessError:
                if attempt == 19:
                    raise
                time.sleep(0.3)

    def kill(self) -> None:
        """`kill -9` of the whole server, as a crash would do it."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        group = [main, *(int(pid) for pid in _children(main))]
        for pid in group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "ThrowawayPostgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
