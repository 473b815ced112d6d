"""Starts a Ceph of one node with an S3 gateway, watches over it, and ends it when nobody uses it any more.

`python -m tests.servers.ceph_cluster ROOM` serves as long as somebody holds a shared lock on ROOM/users, and writes ROOM/server.json when it is
ready. Objects lie in memory; nothing is authenticated inside the cluster, the gateway checks signatures as it always does. Its daemons
run as an account without privileges, on 127.0.0.1, and die with this process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwnam
from typing import Any, BinaryIO

from tests.servers.certificates import make_certificate
from tests.servers.tools import find_tool

ACCESS_KEY = "ACCESSKEY01ACCESSKEY"
SECRET_KEY = "SECRETKEY01SECRETKEY01"
SERVER_FILE = "server.json"
USERS_FILE = "users"
START_TIMEOUT_S = 90.0
_LOOK_EVERY_S = 0.2
_MEMORY_BYTES = 6 << 30
"""The most that the store may hold: memory is taken as objects come."""
_ACCOUNT = "nobody"

_CONFIG = """\
[global]
fsid = {cluster}
mon_host = v1:127.0.0.1:{monitor_port}
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
keyring = {folder}/keyring
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/run
run_dir = {folder}/run
crash_dir = {folder}/log
admin_socket = {folder}/run/$name.asok
log_file = {folder}/log/$name.log
osd_objectstore = memstore
memstore_device_bytes = {memory_bytes}
osd_memory_target = 939524096
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
# The monitor gathers changes for a second before it agrees on them; the gateway makes eight pools, one after the other.
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
rgw_frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} ssl_certificate={folder}/server.pem ssl_private_key={folder}/server.pem
rgw_max_concurrent_requests = 64
"""


def main(room: Path) -> None:
    """Serves until the last user has gone."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix="holdfast-ceph-"))
    (folder / "log").mkdir(mode=0o777)
    (folder / "log").chmod(0o777)
    log = (folder / "log" / "said").open("wb")
    cluster = _Cluster(folder, log)
    try:
        port, tls_port = cluster.start()
        told = {"port": port, "tls_port": tls_port, "pid": os.getpid(), "folder": str(folder)}
        (room / "new").write_text(json.dumps(told))
        (room / "new").rename(room / SERVER_FILE)
        with (room / USERS_FILE).open("w") as users:
            while all(each.poll() is None for each in cluster.daemons):
                time.sleep(_LOOK_EVERY_S)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
            (room / SERVER_FILE).unlink(missing_ok=True)
    finally:
        cluster.stop()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Cluster:
    """The cluster's programs: each runs as the account without privileges, with nothing of this process but its log."""

    def __init__(self, folder: Path, log: BinaryIO) -> None:
        self._folder = folder
        self._account = getpwnam(_ACCOUNT) if os.geteuid() == 0 else None
        self.daemons: list[subprocess.Popen[bytes]] = []
        self._how: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": log,
            "cwd": folder,
            "env": {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C"},
        }
        if self._account is not None:
            self._how |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def start(self) -> tuple[int, int]:
        """Gives the gateway's ports, without and with TLS."""
        cluster, (monitor_port, port, tls_port) = str(uuid.uuid4()), _free_ports()
        self._make_folder(cluster=cluster, monitor_port=monitor_port, port=port, tls_port=tls_port)
        monitors = str(self._folder / "monmap")
        self._run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{monitor_port}]", "--fsid", cluster, monitors)  # fmt: skip
        self._run(*self._words("ceph-mon"), "--mkfs", "-i", "a", "--monmap", monitors)
        self._launch("ceph-mon", "-i", "a")
        disk = str(uuid.uuid4())
        self._run(*self._words("ceph"), "osd", "new", disk)
        self._run(*self._words("ceph-osd"), "-i", "0", "--mkfs", "--osd-uuid", disk)
        for _ in _until_timeout():
            # The disk is refused as being of the "wrong fsid" until the monitor has settled.
            daemon = self._launch("ceph-osd", "-i", "0")
            self._run(*self._words("ceph"), "osd", "pool", "create", "settled", "1")
            if daemon.poll() is None:
                break
            self.daemons.remove(daemon)
        self._launch("radosgw", "-n", "client.rgw")
        user = (
            "--uid=tests",
            "--display-name=tests",
            f"--access-key={ACCESS_KEY}",
            f"--secret-key={SECRET_KEY}",
        )
        self._run(*self._words("radosgw-admin"), "user", "create", *user)
        _wait_answering(port)
        return port, tls_port

    def stop(self) -> None:
        """Kills the daemons: what they hold is thrown away."""
        for each in reversed(self.daemons):
            each.kill()
            each.wait()

    def _make_folder(self, **filled_in: object) -> None:
        for each in ("mon", "osd", "run"):
            (self._folder / each).mkdir()
        (self._folder / "keyring").touch()
        make_certificate(self._folder)
        config = _CONFIG.format(folder=self._folder, memory_bytes=_MEMORY_BYTES, **filled_in)
        (self._folder / "ceph.conf").write_text(config, encoding="ascii")
        if self._account is not None:
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _words(self, program: str) -> tuple[str, ...]:
        return program, "-c", str(self._folder / "ceph.conf")

    def _run(self, program: str, *words: str) -> None:
        command = [str(find_tool(program)), *words]
        subprocess.run(command, check=True, timeout=START_TIMEOUT_S, **self._how)

    def _launch(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        name, *configured = self._words(program)
        command = ["setpriv", "--pdeathsig", "KILL", str(find_tool(name)), *configured, "-f", *words]
        daemon: subprocess.Popen[bytes] = subprocess.Popen(command, **self._how)
        self.daemons.append(daemon)
        return daemon


def _free_ports() -> tuple[int, int, int]:
    """Ports below the range that outgoing connections take theirs from."""
    found: list[int] = []
    while len(found) < 3:
        port = 20_000 + uuid.uuid4().int % 12_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found[0], found[1], found[2]


def _until_timeout() -> Iterator[None]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        yield
        time.sleep(0.05)
    raise TimeoutError("Ceph did not start")


def _wait_answering(port: int) -> None:
    for _ in _until_timeout():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/")
            connection.getresponse().read()
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
