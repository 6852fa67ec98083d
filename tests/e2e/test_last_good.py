"""Workers that start without control, from what it saved: real processes, and a provider that sees the credential."""

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import KEYS, digest
from tests.e2e.processes import DEADLINE, SECRET, Gateway, Running, alive, environment_of, headgate
from tests.providers.scripted import Upstream

CONFIG = """
listen: {{http: "127.0.0.1:{port}", workers: 2}}
control: {{address: "127.0.0.1:0"}}
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:{upstream}/v1", credential: "{credential}"}}}}
models: {{{model}: {{targets: [{{provider: p, model: scripted-small}}]}}}}
consumers: {{alice: {{keys: [{{sha256: {alice}}}], models: ["*"]}}}}
"""
FROM_ENVIRONMENT = "env:SUPERVISED_CREDENTIAL"


class Site(Gateway):
    """A gateway in front of a provider that notes what it is sent."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.upstream = upstream
        self.credential = FROM_ENVIRONMENT
        super().__init__(folder)

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def snapshots(self) -> Path:
        return self.data / "snapshots"

    def write(self, model: str = "first", path: Path | None = None) -> None:
        text = CONFIG.format(
            port=self.port,
            upstream=self.upstream.port,
            credential=self.credential,
            model=model,
            alice=digest(KEYS["alice"]),
        )
        (path or self.config / "headgate.yaml").write_text(text)

    def apply(self, path: Path | None = None) -> str:
        """Apply a config, the one control was started with unless `path` says another; return what was printed."""
        command = headgate("apply", "--config", str(path or self.config), "--data", str(self.data))
        done = subprocess.run(
            command, env=environment_of(), capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def publish(self, *models: str) -> None:
        """Run the gateway until each of `models` was active, then kill all of it."""
        running = self.start().ready()
        for model in models[1:]:
            self.write(model)
            self.apply()
        kill(running)

    def ask(self, model: str) -> tuple[int, str]:
        """Call a model; return the status and the credential that the provider saw with it, "" if it saw nothing."""
        self.upstream.forget()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
            fields = {"authorization": f"Bearer {KEYS['alice']}", "content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body, fields)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        seen = [request.headers["authorization"].removeprefix("Bearer ") for request in self.upstream.requests]
        return answer.status, seen[0] if seen else ""


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="hg") as folder, Upstream() as upstream:
        site = Site(Path(folder), upstream)
        yield site
        for running in site.running:
            running.kill()


def kill(running: Running) -> None:
    """SIGKILL a supervisor, and so all it has started; wait until they are gone."""
    pids = [int(fields["pid"]) for fields in running.events("started")]
    running.kill()
    running.wait(lambda: not any(alive(pid) for pid in pids))


def damage(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def from_disk(running: Running) -> Running:
    """Wait until both workers serve what they found on the disk."""
    running.wait(lambda: len(running.events("from-disk")) == 2)
    return running


def test_workers_that_start_with_control_away_serve_with_the_right_credential(site: Site) -> None:
    site.publish("first")
    plane = from_disk(site.start("plane", SUPERVISED_CREDENTIAL=""))
    assert site.ask("first") == (200, SECRET)
    assert site.readiness() == (200, 1)
    assert plane.stop() == 0


def test_a_worker_that_dies_while_control_is_away_has_a_successor_that_serves(site: Site) -> None:
    control = site.start("control")
    plane = site.start("plane")
    control.wait(lambda: len(control.events("connected")) == 2)
    control.wait(lambda: [row["state"] for row in site.status()["workers"]] == ["serving", "serving"])
    kill(control)
    for worker in ("worker-0", "worker-1"):
        os.kill(plane.started(worker)[0], signal.SIGKILL)
    from_disk(plane)
    assert site.ask("first") == (200, SECRET)


def test_workers_do_not_wait_for_a_control_that_accepts_and_says_nothing(site: Site) -> None:
    running = site.start().ready()
    control = running.started("control")[0]
    os.kill(control, signal.SIGSTOP)
    try:
        for worker in ("worker-0", "worker-1"):
            os.kill(running.started(worker)[0], signal.SIGKILL)
        running.wait(lambda: len(running.events("from-disk")) == 2)
        assert site.ask("first") == (200, SECRET)
    finally:
        os.kill(control, signal.SIGCONT)
    # What it holds is what control would push: there is nothing to do when it is back.
    running.wait(lambda: [row["state"] for row in site.status()["workers"]] == ["serving", "serving"])
    assert site.ask("first") == (200, SECRET)


def test_control_that_comes_back_finds_its_workers_serving_and_sends_them_what_is_new(site: Site) -> None:
    site.publish("first")
    from_disk(site.start("plane"))
    control = site.start("control")
    control.wait(lambda: control.events("serving"))
    control.wait(lambda: [row["version"] for row in site.status()["workers"]] == [1, 1])
    site.write("second")
    assert "version 2 is active" in site.apply()
    assert site.ask("second") == (200, SECRET)


def test_with_the_newest_file_damaged_the_one_before_serves_and_the_log_says_why(site: Site) -> None:
    site.publish("first", "second")
    damage(site.snapshots / "2-1")
    plane = from_disk(site.start("plane"))
    assert site.readiness() == (200, 1)
    assert site.ask("first") == (200, SECRET)
    assert site.ask("second") == (404, "")
    assert all("altered" in fields["reason"] for fields in plane.events("saved-unusable"))


def test_with_all_files_damaged_no_caller_is_served_until_control_is_back_which_mends_it(site: Site) -> None:
    site.publish("first", "second")
    for path in site.snapshots.glob("*-*"):
        damage(path)
    plane = site.start("plane")
    plane.wait(lambda: len(plane.events("nothing-saved")) == 2)
    assert len(plane.events("saved-unusable")) == 4
    assert plane.events("serving") == []
    control = site.start("control")
    control.wait(lambda: control.events("serving"))
    # A number that was used is not used again, though nobody can read what it was.
    assert site.readiness() == (200, 3)
    assert site.ask("second") == (200, SECRET)
    kill(control)
    kill(plane)
    from_disk(site.start("plane"))
    assert site.readiness() == (200, 3)


def test_with_the_key_lost_nothing_is_served_from_disk_and_control_starts_from_its_config(site: Site) -> None:
    site.publish("first")
    (site.data / "key").unlink()
    plane = site.start("plane")
    plane.wait(lambda: len(plane.events("nothing-saved")) == 2)
    site.start("control")
    assert site.readiness() == (200, 2)
    assert site.ask("first") == (200, SECRET)


def test_control_refuses_a_key_that_others_can_read(site: Site) -> None:
    site.publish("first")
    (site.data / "key").chmod(0o644)
    control = site.start("control")
    assert control.process.wait(DEADLINE) == 1
    assert f"{site.data}/key: others may use the key file" in control.log


def test_control_that_finds_its_newest_file_damaged_goes_on_with_the_one_before_as_a_new_version(site: Site) -> None:
    other = site.folder / "other.yaml"
    site.write("second", other)
    running = site.start().ready()
    site.apply(other)
    kill(running)
    damage(site.snapshots / "2-1")
    site.start().ready()
    assert site.readiness() == (200, 3)
    assert site.ask("first") == (200, SECRET)


def test_a_restart_of_control_does_not_undo_a_rollback(site: Site) -> None:
    """A, then B from the config control was started with, then A again, from elsewhere: A stays."""
    before = site.folder / "before.yaml"
    site.write("first", before)
    running = site.start().ready()
    site.write("second")
    site.apply()
    assert "version 3 is active" in site.apply(before)
    os.kill(running.started("control")[0], signal.SIGKILL)
    running.wait(lambda: len(running.events("connected")) == 4)
    running.wait(lambda: {row["version"] for row in site.status()["workers"]} == {3})
    assert site.ask("first") == (200, SECRET)
    assert site.ask("second") == (404, "")
    kill(running)
    site.start().ready()
    assert site.readiness() == (200, 3)
    assert site.ask("first") == (200, SECRET)


def test_a_version_lost_with_a_killed_control_is_not_given_to_another_config(site: Site) -> None:
    site.publish("first", "second")
    (site.snapshots / "2-1").unlink()
    site.write("third")
    site.start().ready()
    assert site.readiness() == (200, 3)
    assert site.ask("third") == (200, SECRET)


def test_new_values_of_secrets_are_a_new_generation_under_the_same_version(site: Site) -> None:
    secret = site.folder / "secret"
    secret.write_text("sk-canary-old")
    site.credential = f"file:{secret}"
    site.write()
    running = site.start().ready()
    before = site.status()
    assert site.ask("first") == (200, "sk-canary-old")
    secret.write_text("sk-canary-new")
    assert re.match(r"version 1 is active, digest [0-9a-f]{64}, secrets generation 2\n", site.apply())
    assert site.ask("first") == (200, "sk-canary-new")
    after = site.status()
    assert (after["version"], after["digest"]) == (before["version"], before["digest"])
    assert (before["generation"], after["generation"]) == (1, 2)
    assert [row["generation"] for row in after["workers"]] == [2, 2]
    kill(running)
    secret.unlink()
    from_disk(site.start("plane"))
    assert site.ask("first") == (200, "sk-canary-new")


def test_control_serves_on_with_the_saved_secrets_when_they_are_missing_by_now(site: Site) -> None:
    site.publish("first")
    running = site.start(SUPERVISED_CREDENTIAL="").ready()
    assert site.ask("first") == (200, SECRET)
    assert running.events("config-problem")


def test_no_secret_stands_in_the_data_directory_and_no_file_is_for_others(site: Site) -> None:
    secret = site.folder / "secret"
    secret.write_text("sk-canary-file")
    running = site.start().ready()
    site.credential = f"file:{secret}"
    for model in ("second", "third"):
        site.write(model)
        site.apply()
    assert site.ask("third") == (200, "sk-canary-file")
    assert running.stop() == 0
    paths = list(site.data.rglob("*"))
    assert len([path for path in paths if path.parent.name == "sections"]) >= 3
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        if path.is_file():
            body = path.read_bytes()
            assert not [word for word in (SECRET, "sk-canary-file") if word.encode() in body], path
    assert SECRET not in running.log
    assert "sk-canary-file" not in running.log
