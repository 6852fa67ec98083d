"""What a call over TLS costs, by HTTP/1.1 and HTTP/2: processor time of the worker, and of nginx with the same files.

``python -m bench https``. h2load makes the calls, the same number at both doors, in turns; lower is better.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import trustme

from bench import gateway as arms
from bench.payload import CHAT
from bench.process import BenchError, Cores, cpu_ns, free_port, wait_until
from bench.servers import listens, nginx, upstreams

__all__ = ["command"]

KEY = "hg-bench-https"
CLIENTS = 16
WAYS = {"HTTP/1.1": ["--h1"], "HTTP/2, 4 streams a connection": ["-m", "4"]}


def command(arguments: list[str]) -> int:
    """Measure and print a line for each way; arguments as on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench https", description=__doc__)
    parser.add_argument("--calls", type=int, default=40_000, help="calls of each run [default: 40000]")
    parser.add_argument("--rounds", type=int, default=5, help="runs at each door, in turns [default: 5]")
    asked = parser.parse_args(arguments)
    if shutil.which("h2load") is None:
        print("h2load is missing; get it with: apt-get install nghttp2-client")
        return 1
    cores = Cores.here()
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as name:
        folder = Path(name)
        issued = trustme.CA().issue_cert("localhost")
        certificate, key, body = folder / "certificate.pem", folder / "key.pem", folder / "body.json"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        body.write_bytes(CHAT)
        with upstreams(folder, cores) as ports:
            front, port = free_port(), free_port()
            values = {"upstream_port": ports.chat, "front": front, "certificate": certificate, "key": key}
            https = f", https: {{address: '127.0.0.1:{port}', certificate: {certificate}, key: {key}}}"
            with (
                nginx("nginx-tls.conf", folder, cores.worker, **values) as reference,
                arms.gateway(folder, cores, ports, KEY, https) as arm,
            ):
                wait_until(lambda: listens(front) and listens(port), "both doors")
                for way, options in WAYS.items():
                    ratios, costs = [], []
                    for _ in range(asked.rounds):
                        theirs = cost(front, (reference,), options, body, asked.calls, cores)
                        ours = cost(port, arm.workers, options, body, asked.calls, cores)
                        costs.append((ours, theirs))
                        ratios.append(ours / theirs)
                    ours, theirs = (statistics.median(one) for one in zip(*costs, strict=True))
                    print(
                        f"{way}: gateway {ours:.1f} us, nginx {theirs:.1f} us of CPU a call; "
                        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                    )
    return 0


def cost(port: int, pids: tuple[int, ...], options: list[str], body: Path, calls: int, cores: Cores) -> float:
    """Return the microseconds of processor time that a call took of `pids`; BenchError unless all were served."""
    command = ["taskset", "--cpu-list", ",".join(map(str, sorted(cores.rest))), "h2load", *options]
    command += ["-n", str(calls), "-c", str(CLIENTS), "-d", str(body), "-H", f"authorization: Bearer {KEY}"]
    command += ["-H", "content-type: application/json", f"https://127.0.0.1:{port}/v1/chat/completions"]
    before = cpu_ns(pids)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    spent = cpu_ns(pids) - before
    if f"{calls} 2xx" not in done.stdout:
        raise BenchError(f"not every call was served:\n{done.stdout}{done.stderr}")
    return spent / calls / 1000
