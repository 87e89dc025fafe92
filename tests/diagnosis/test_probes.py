"""What the kernel shows, read from a tree of files as on the machines that were met."""

import errno
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gateway.diagnosis import host, libraries, probes
from gateway.diagnosis.observed import Container, Node, SELinux
from gateway.inference.device import why_auto
from tests.inference.clips import DEMO

CONTAINER_LABEL = "system_u:system_r:container_t:s0:c123,c456"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_nvidia_is_found_on_the_bus(tmp_path: Path) -> None:
    """Display and compute controllers of vendor 10de; not its sound device, not others' displays."""
    devices = {
        "0000:01:00.0": ("0x10de", "0x030000"),
        "0000:02:00.0": ("0x10de", "0x030200"),
        "0000:01:00.1": ("0x10de", "0x040300"),
        "0000:00:02.0": ("0x8086", "0x030000"),
    }
    for address, (vendor, kind) in devices.items():
        tree(tmp_path / "sys/bus/pci/devices" / address, {"vendor": f"{vendor}\n", "class": f"{kind}\n"})
    assert probes.read_system(tmp_path).nvidia_on_bus == 2


def test_a_containers_memory_counts(tmp_path: Path) -> None:
    """What is left of its limit, if that is less than what the machine has."""
    tree(tmp_path, {"proc/meminfo": "MemTotal: 100 kB\nMemAvailable:    50 kB\n"})
    assert probes.read_system(tmp_path).memory_free_bytes == 50 * 1024
    tree(tmp_path, {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "9\n"})
    assert probes.read_system(tmp_path).memory_free_bytes == 50 * 1024
    tree(tmp_path, {"sys/fs/cgroup/memory.max": "20000\n", "sys/fs/cgroup/memory.current": "9000\n"})
    assert probes.read_system(tmp_path).memory_free_bytes == 11_000


@pytest.mark.parametrize(
    ("files", "variables", "kind"),
    [
        ({}, {}, ""),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {}, "docker"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"container": "systemd-nspawn"}, "container"),
    ],
)
def test_containers_are_known_by_their_signs(
    files: dict[str, str],
    variables: dict[str, str],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "container"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert probes.read_container(tree(tmp_path, files)).kind == kind


def test_cdi_files_and_tools_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only CDI files that name NVIDIA's GPUs."""
    for name in ("podman", "nvidia-ctk"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    root = tree(
        tmp_path / "root",
        {"etc/cdi/nvidia.yaml": "kind: nvidia.com/gpu\n", "etc/cdi/other.yaml": "kind: vendor.com/x\n"},
    )
    found = probes.read_container(root)
    assert found == Container(found.kind, ("podman",), True, (str(root / "etc/cdi/nvidia.yaml"),))


def test_device_nodes_are_listed_with_what_keeps_them_closed(tmp_path: Path) -> None:
    """Those of GPUs and the driver, not its capabilities' folder."""
    tree(
        tmp_path, {"dev/nvidia0": "", "dev/nvidiactl": "", "dev/nvidia-caps/nvidia-cap1": "", "dev/null0": ""}
    )
    (tmp_path / "dev/nvidia-uvm").symlink_to("nowhere")
    assert probes.read_nodes(tmp_path) == (
        Node("/dev/nvidia-uvm", "ENOENT"),
        Node("/dev/nvidia0"),
        Node("/dev/nvidiactl"),
    )


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n",
            "535.183.01",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build\n", "580.82.07"),
        ("", ""),
    ],
)
def test_the_kernels_module_says_its_version(said: str, version: str, tmp_path: Path) -> None:
    assert probes.read_module(tree(tmp_path, {"proc/driver/nvidia/version": said})) == version


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, SELinux()),
        ({"proc/self/attr/current": "docker-default (enforce)\n"}, SELinux()),
        ({"proc/self/attr/current": f"{CONTAINER_LABEL}\0"}, SELinux("enforcing", CONTAINER_LABEL)),
        (
            {
                "proc/self/attr/current": "u:r:unconfined_t:s0\n",
                "sys/fs/selinux/enforce": "0",
                "sys/fs/selinux/booleans/container_use_devices": "1 1",
            },
            SELinux("permissive", "u:r:unconfined_t:s0", True),
        ),
    ],
)
def test_selinux_is_read_from_outside_and_inside(
    files: dict[str, str], expected: SELinux, tmp_path: Path
) -> None:
    """A container sees its label and not the switch."""
    assert probes.read_selinux(tree(tmp_path, files)) == expected


def test_variables_that_are_empty_are_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA makes that difference."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    found = probes.read_variables()
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert "NVIDIA_VISIBLE_DEVICES" not in found


def test_libraries_are_found_with_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that a program opens, not the files behind them; a file that is none cannot be opened."""
    tree(tmp_path, {"libcublas.so.13": "", "libcublas.so.13.1.0.3": "", "libcublasLt.so.13": ""})
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}{os.pathsep}")
    found = [library for library in libraries.find_cublas() if library.source == "LD_LIBRARY_PATH"]
    assert [library.path for library in found] == [str(tmp_path / "libcublas.so.13")]


def test_the_reason_of_auto_is_a_clause() -> None:
    """It stands behind the device: `cpu, since ...`."""
    assert why_auto().startswith("since ")


# --- what the gateway needs ------------------------------------------------------------------------------------


def test_a_directory_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    found = host.read_storage(tmp_path)
    assert (found.error, found.exists) == ("", True)
    assert found.free_bytes > 0
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Whether it could be is seen above it."""
    found = host.read_storage(tmp_path / "a" / "b")
    assert (found.error, found.exists, found.path) == ("", False, str(tmp_path / "a" / "b"))
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    assert host.read_storage(tmp_path / "data").error == "ENOTDIR"
    assert host.read_storage(tmp_path / "data" / "below").error == "ENOTDIR"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_refuses_is_named(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel says it, and nothing is left behind (the kernel's refusal is the fake here)."""

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    assert host.read_storage(tmp_path).error == errno.errorcode[code]
    assert not list(tmp_path.iterdir())


def test_a_free_port_is_free_again_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert host.read_port("127.0.0.1", port) == host.read_port("127.0.0.1", port)
    assert not host.read_port("127.0.0.1", port).error


def test_another_programs_port_is_taken() -> None:
    """It listens, and says nothing that a gateway says."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0.1)
        threading.Thread(target=hang_up, args=(taken,), daemon=True).start()
        found = host.read_port("127.0.0.1", taken.getsockname()[1])
    assert (found.in_use, found.ours) == (True, False)
    assert found.error


def hang_up(listener: socket.socket) -> None:
    """On everybody who comes."""
    while True:
        try:
            listener.accept()[0].close()
        except TimeoutError:
            continue
        except OSError:
            return


class Alive(BaseHTTPRequestHandler):
    """/healthz of a gateway."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "alive"}')

    def log_message(self, *_: object) -> None:
        pass


def test_a_gateway_of_ours_is_known_by_its_answer() -> None:
    server = HTTPServer(("127.0.0.1", 0), Alive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        found = host.read_port("127.0.0.1", server.server_port)
        assert (found.in_use, found.ours) == (True, True)
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_of_another_machine_is_said() -> None:
    found = host.read_port("192.0.2.1", 8001)
    assert found.error
    assert not found.in_use


def test_the_demo_model_is_read_to_the_last_byte(tmp_path: Path) -> None:
    """Every file is named while it is read."""
    notes: list[str] = []
    model, choice = host.read_model("demo", False, tmp_path, notes.append)
    assert choice is not None
    assert (model.name, model.directory, model.damaged, model.problem) == ("demo", str(DEMO), (), "")
    assert model.recorded
    assert any("model.bin" in note for note in notes)


def test_a_model_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    model, choice = host.read_model("small", False, tmp_path, lambda _: None)
    assert choice is None
    assert "care-voice models pull small" in model.problem
    assert model.lying_there == ("model.bin",)


def test_a_directory_of_ones_own_has_nothing_to_compare(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    for file in DEMO.glob("*.*"):
        (directory / file.name).symlink_to(file)
    model, choice = host.read_model(str(directory), False, tmp_path, lambda _: None)
    assert choice is not None
    assert (model.name, model.recorded, model.problem) == ("mine", False, "")


def test_the_clock_of_this_machine_is_after_the_program() -> None:
    clock = host.read_clock()
    assert clock.now_s > clock.installed_s - 86_400
