"""A Ray cluster of two nodes on this machine, of which the second can be killed and begun again."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))
START_S = 120.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class TwoNodes:
    """A head with one core, which `lose` leaves alone, and a node with another. `environment`: what drivers need."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # for this cluster alone
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])  # workers import both
        self.environment = {**os.environ, **token, **quiet, "PYTHONPATH": paths}
        self._folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # a short name: sockets have no long ones
        port = self.address.rpartition(":")[2]
        self._started("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder}")
        self._until(lambda: socket.create_connection(("127.0.0.1", int(port)), 1).close())
        self.begin()

    def _started(self, *options: str) -> subprocess.Popen[bytes]:
        command = [RAY, "start", *options, "--num-cpus=1", "--object-store-memory=80000000", "--block"]
        node = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._nodes = [*getattr(self, "_nodes", []), node]
        return node

    def _until(self, works: object) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                works()  # type: ignore[operator]
                return
            except OSError:
                if time.monotonic() > end:
                    self.close()
                    raise SystemExit("no Ray node could be started") from None
                time.sleep(0.2)

    def begin(self) -> None:
        """Start the second node, and wait until it has workers."""
        node = self._started(f"--address={self.address}")

        def there() -> None:
            if not any("raylet" in each.name() for each in psutil.Process(node.pid).children(recursive=True)):
                raise BlockingIOError

        self._until(there)

    def lose(self) -> None:
        """SIGKILL to all processes of the second node at once."""
        self._kill(self._nodes.pop())

    @staticmethod
    def _kill(node: subprocess.Popen[bytes]) -> None:
        try:
            parts = psutil.Process(node.pid).children(recursive=True)
        except psutil.Error:
            parts = []
        for part in parts:
            with suppress(psutil.Error):
                part.kill()
        node.kill()
        node.wait()

    def close(self) -> None:
        for node in reversed(self._nodes):
            self._kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)
