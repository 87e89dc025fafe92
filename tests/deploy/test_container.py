"""The container, really built and run as its users do: `make container-test`."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import gateway
from tests.deploy.podman import BASE, LOCKED, Podman
from tests.deploy.test_units import SYSTEMD, unit
from tests.deploy.tools import DEPLOY, passes, tool
from tests.running import REPO, environment

pytestmark = pytest.mark.skipif("CONTAINER_TEST" not in os.environ, reason="only in `make container-test`")
SPEECH = REPO / "models/demo/audio/dialog_en.wav"
CPU_BYTES, GPU_BYTES = 700_000_000, 2_000_000_000
"""The largest that the images may be."""


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    ours = Podman()
    yield ours
    ours.run("image", "prune", "-f")  # first stages: over 1 GB each


@pytest.fixture(scope="module")
def image(podman: Podman) -> str:
    return podman.build("cpu")


@dataclass
class Container:
    """A gateway in a container, with its volume and its keys."""

    podman: Podman
    name: str
    url: str
    keys: dict[str, str]

    def inside(self, *command: str, check: bool = True) -> str:
        return self.podman.run("exec", self.name, *command, check=check).stdout

    def log(self) -> str:
        done = self.podman.run("logs", self.name)
        return done.stdout + done.stderr

    def get(self, path: str, key: str = "") -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {key}"} if key else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        raise AssertionError(self.log())

    def device(self, *options: str) -> "subprocess.Popen[str]":
        """`care-voice stream`, here, outside the container."""
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", "stream", str(SPEECH), "--url", self.url, "--bed", "3A", "--json",
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO,
            env=environment({"CARE_VOICE_TOKEN": self.keys["speaker"]}),
        )  # fmt: skip

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.podman.run("stop", "-t", "30", self.name)
        return int(self.podman.inspect("container", self.name)["State"]["ExitCode"])


def start(podman: Podman, image: str, name: str, *options: str | Path) -> Container:
    """A locked-in container on a volume with keys, ready; the port is podman's choice."""
    volume = f"{name}-data"
    podman.run("rm", "-f", "-t", "0", name, check=False)
    podman.run("volume", "rm", "-f", volume, check=False)
    keys = {}
    for role, more in (("speaker", ["--bed", "3A"]), ("viewer", ["--bed", "metrics"]), ("admin", [])):
        made = podman.run(
            "run",
            "--rm",
            *LOCKED,
            "-v",
            f"{volume}:/app/data",
            image,
            "token",
            "create",
            "--role",
            role,
            *more,
        )
        keys[role] = made.stdout.strip()
    podman.run(
        "run", "-d", "--name", name, *LOCKED, "-p", "127.0.0.1::8001", "-v", f"{volume}:/app/data",
        "-v", f"{REPO}/models:/app/models:ro,z", "-e", "CARE_VOICE_MODEL=demo", *options, image,
    )  # fmt: skip
    port = podman.run("port", name, "8001").stdout.strip().rpartition(":")[2]
    return Container(podman, name, f"http://127.0.0.1:{port}", keys)


def remove(container: Container) -> None:
    container.podman.run("rm", "-f", "-t", "0", container.name, check=False)
    container.podman.run("volume", "rm", "-f", f"{container.name}-data", check=False)


@pytest.fixture(scope="module")
def running(podman: Podman, image: str) -> Iterator[Container]:
    container = start(podman, image, "care-voice-test", "--init")
    container.wait_until_ready()
    yield container
    remove(container)


def finals(output: str) -> list[str]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line["text"] for line in lines if line.get("type") == "final"]


# --- what is in it --------------------------------------------------------------------------------------------


def test_the_image_is_small(podman: Podman, image: str) -> None:
    """With the demo model, on the base that was used."""
    size, base = (podman.inspect("image", name)["Size"] for name in (image, BASE))
    print(f"CPU image: {size / 1e6:.0f} MB, of which the base {base / 1e6:.0f} MB")
    assert size <= CPU_BYTES


def test_the_image_says_what_it_is(podman: Podman, image: str) -> None:
    """Version, licence and base in its labels; a health check, a user, a volume, a port."""
    config = podman.inspect("image", image)
    said = config["Config"]
    labels = {key.rpartition("image.")[2]: value for key, value in said["Labels"].items()}
    assert labels["version"] == gateway.__version__
    assert labels["licenses"] == "MIT"
    assert labels["base.name"] == BASE
    assert said["User"] == "1000:1000"
    assert "/app/data" in said["Volumes"]
    assert "8001/tcp" in said["ExposedPorts"]
    assert "healthcheck.py" in " ".join(
        config["HealthCheck" if "HealthCheck" in config else "Healthcheck"]["Test"]
    )


def test_only_what_runs_is_inside(running: Container) -> None:
    """No pip, no compiler, no tests, no caches, no secrets of the build."""
    listed = running.inside("find", "/opt/care-voice", "/root", "/run/secrets", "/etc/pip.conf", "/source", "/build",
                            "/var/lib/apt/lists", "/var/cache", check=False)  # fmt: skip
    paths = listed.splitlines()
    assert any(path.endswith("/gateway/app.py") for path in paths)
    for pattern in (r"/pip/", r"/tests/", r"\.pyi$", r"\.a$", r"^/source", r"^/build", r"pip\.conf", r"/run/secrets/",
                    r"/var/(cache|lib/apt/lists)/.+", r"libcublas", r"libcudnn", r"^/root/\.cache"):  # fmt: skip
        assert not [path for path in paths if re.search(pattern, path)], pattern
    for program in ("pip", "gcc", "strip", "curl"):
        assert running.podman.run("exec", running.name, "which", program, check=False).returncode


def test_every_module_is_compiled(running: Container) -> None:
    """The root cannot be written, so bytecode that is missing would be missing at every start."""
    listed = running.inside("find", "/opt/care-voice/lib", "-name", "*.py*").splitlines()
    compiled = {
        re.sub(r"__pycache__/(.+)\.cpython-\d+\.pyc$", r"\1.py", p) for p in listed if p.endswith(".pyc")
    }
    ours = {path for path in listed if "/gateway/" in path and path.endswith(".py")}
    assert len(ours) > 100
    assert ours <= compiled


# --- how it runs ----------------------------------------------------------------------------------------------


def test_without_keys_it_does_not_start(podman: Podman, image: str) -> None:
    """It listens on all addresses, so it wants a key first, and says so."""
    done = podman.run("run", "--rm", *LOCKED, image, "serve", "--model", "demo", check=False)
    assert done.returncode == 1
    assert "care-voice token create" in done.stderr


def test_nobody_can_do_much_in_it(running: Container) -> None:
    """User 1000, no capability, no new privileges, a filter on system calls, a root that cannot be written."""
    assert running.inside("id").startswith("uid=1000(app) gid=1000(app)")
    status = dict(
        line.split(":\t", 1) for line in running.inside("cat", "/proc/1/status").splitlines() if ":\t" in line
    )
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    for path in ("/x", "/opt/care-voice/x", "/app/x", "/app/models/x", "/etc/x"):
        assert running.podman.run("exec", running.name, "touch", path, check=False).returncode, path
    running.inside("touch", "/app/data/x")
    assert running.inside("stat", "-c", "%a %U", "/app/data").strip() == "700 app"
    assert running.inside("stat", "-c", "%a %U", "/app/data/keys.json").strip() == "600 app"


def test_it_is_healthy(running: Container) -> None:
    """The image's own check, and the two probes, without a key."""
    running.podman.run("healthcheck", "run", running.name)
    assert running.get("/healthz")[0] == 200
    assert running.get("/readyz")[0] == 200


def test_the_check_sees_a_gateway_that_hangs(running: Container) -> None:
    """A stopped process answers nothing, and the check says so; going on it is healthy again."""
    init = running.podman.inspect("container", running.name)["State"]["Pid"]
    pid = int(Path(f"/proc/{init}/task/{init}/children").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        assert running.podman.run("healthcheck", "run", running.name, check=False).returncode == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    running.podman.run("healthcheck", "run", running.name)


def test_captions_come_out(running: Container) -> None:
    """A device speaks, gets its captions, and a caregiver can read them."""
    device = running.device("--fast", "4")
    said, problems = device.communicate(timeout=90)
    assert device.returncode == 0, problems
    texts = finals(said)
    assert len(texts) >= 8
    assert "The doctor will see you at four fifteen." in texts
    status, kept = running.get("/v1/beds/3A/captions", running.keys["admin"])
    assert status == 200
    assert texts[0] in kept


def test_the_key_of_prometheus_reads_no_captions(running: Container) -> None:
    """A viewer of a bed that does not exist reads the metrics and nothing else; nobody reads them without."""
    assert running.get("/metrics")[0] == 401
    status, text = running.get("/metrics", running.keys["viewer"])
    assert status == 200
    assert "care_voice_sessions_open" in text
    assert running.get("/v1/beds/3A/captions", running.keys["viewer"])[0] == 403


def test_sigterm_drains_and_nothing_is_lost(running: Container) -> None:
    """In the middle of a sentence: exit status 0, no unfinished session; after a start the device goes on by itself."""
    before = running.log().count("speaker connected")
    device = running.device()
    deadline = time.monotonic() + 30
    while running.log().count("speaker connected") == before and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(4)  # of speech
    assert running.stop() == 0
    assert '"unfinished_sessions": 0' in running.log()
    port = running.url.rpartition(":")[2]
    running.podman.run("start", running.name)
    again = running.podman.run("port", running.name, "8001").stdout.strip().rpartition(":")[2]
    assert again == port
    said, problems = device.communicate(timeout=120)
    assert device.returncode == 0, problems
    texts = finals(said)
    assert len(texts) >= 8
    assert "The doctor will see you at four fifteen." in texts


def test_it_stops_as_the_first_process_too(podman: Podman, image: str) -> None:
    """Without an init, SIGTERM is its own to take: exit status 0. HTTPS of its own does not fool the health check."""
    container = start(podman, image, "care-voice-alone", "-e", "CARE_VOICE_TLS_SELF_SIGNED=true")
    try:
        deadline = time.monotonic() + 60
        while '"event": "ready"' not in container.log() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "https://" in container.log()
        podman.run("healthcheck", "run", container.name)
        assert container.stop() == 0
    finally:
        remove(container)


def test_what_systemd_leaves_is_enough(podman: Podman, image: str, tmp_path: Path) -> None:
    """The system calls of care-voice.service, as a filter of the container: the engine loads, and captions come."""
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": sorted(left_calls()), "action": "SCMP_ACT_ALLOW"},
    ]}  # fmt: skip
    (tmp_path / "seccomp.json").write_text(json.dumps(profile))
    container = start(
        podman, image, "care-voice-seccomp", "--init", "--security-opt", f"seccomp={tmp_path}/seccomp.json"
    )
    try:
        container.wait_until_ready()
        device = container.device("--fast", "8")
        said, problems = device.communicate(timeout=90)
        assert device.returncode == 0, problems
        assert len(finals(said)) >= 8
        assert container.stop() == 0
    finally:
        remove(container)


def left_calls() -> set[str]:
    """What SystemCallFilter= of the unit allows, sets taken apart."""
    allowed: set[str] = set()
    for value in unit(SYSTEMD / "care-voice.service")["Service"]["SystemCallFilter"]:
        calls = {call for name in value.removeprefix("~").split() for call in calls_of(name)}
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def calls_of(name: str) -> set[str]:
    """A system call, or those of a set like @file-system and of the sets in it."""
    if not name.startswith("@"):
        return {name}
    told = passes(tool("systemd-analyze"), "syscall-filter", "--no-pager", name)
    inside = [line.strip() for line in told.splitlines()[1:]]
    return {call for item in inside if item and not item.startswith("#") for call in calls_of(item)}


def test_the_first_keys_come_from_the_secret_once(podman: Podman, image: str, tmp_path: Path) -> None:
    """The pod's first container puts the Secret's keys onto an empty volume, and never over newer ones."""
    manifest = yaml.safe_load((DEPLOY / "kubernetes/base/statefulset.yaml").read_text())
    [first] = manifest["spec"]["template"]["spec"]["initContainers"]
    (tmp_path / "keys.json").write_text("[]")
    data = tmp_path / "data"
    data.mkdir()
    for path in (tmp_path / "keys.json", data):
        os.chown(path, 1000, 1000)
    command = [
        "run", "--rm", *LOCKED, "-v", f"{data}:/app/data", "-v", f"{tmp_path}/keys.json:/run/keys/keys.json:ro",
        "--entrypoint", first["command"][0], image, *first["command"][1:],
    ]  # fmt: skip
    podman.run(*command)
    made = data / "keys.json"
    assert (made.read_text(), made.stat().st_mode & 0o777, made.stat().st_uid) == ("[]", 0o600, 1000)
    made.write_text("[1]")
    podman.run(*command)
    assert made.read_text() == "[1]"


# --- again, and with a GPU ------------------------------------------------------------------------------------


def test_two_builds_are_alike(podman: Podman, image: str) -> None:
    """Built again from nothing, every layer has the same digest: file by file the same, timestamps set apart."""
    again = podman.build("again", "--no-cache")
    layers = [podman.inspect("image", name)["RootFS"]["Layers"] for name in (image, again)]
    podman.run("rmi", again)
    assert layers[0] == layers[1]


@pytest.mark.skipif(os.environ.get("CONTAINER_TEST") != "gpu", reason="downloads 600 MB: CONTAINER_TEST=gpu")
def test_the_gpu_image_brings_cublas_and_no_cudnn(podman: Podman) -> None:
    """cuBLAS 12 opens and says its version; the image stays below its limit. No GPU is needed for that."""
    name = podman.build("gpu", gpu=True)
    size = podman.inspect("image", name)["Size"]
    print(f"GPU image: {size / 1e6:.0f} MB")
    assert size <= GPU_BYTES
    code = "from gateway.diagnosis.libraries import open_cublas; print(open_cublas())"
    said = podman.run("run", "--rm", *LOCKED, "--entrypoint", "python", name, "-c", code).stdout
    assert re.search(r"12\.9", said), said
    listed = podman.run(
        "run", "--rm", *LOCKED, "--entrypoint", "find", name, "/opt/care-voice", "-name", "lib*.so*"
    )
    assert "libcublasLt.so.12" in listed.stdout
    assert "cudnn" not in listed.stdout
