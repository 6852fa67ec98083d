"""``python -m bench.ping PORT``: asks a worker's ``/healthz`` every millisecond, until its standard input closes.

Prints ``ready``, and at its end the time of each answer, in µs, as one JSON list. What a worker's loop stands still for
shows as one late answer.
"""

import json
import socket
import sys
import threading
import time

__all__: list[str] = []

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: worker\r\n\r\n"
INTERVAL = 0.001


def main() -> None:
    """Ask until told to stop."""
    stop = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    times = []
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while not stop.is_set():
            began = time.perf_counter()
            connection.sendall(REQUEST)
            answer = connection.recv(4096)
            took = time.perf_counter() - began
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the worker answered {answer[:60]!r}")
            times.append(round(took * 1e6))
            time.sleep(max(0.0, INTERVAL - took))
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
