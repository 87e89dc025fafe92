"""shell: look at all of it, in order: first the accelerator, which says what else to try."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.config import Settings
from gateway.diagnosis.findings import Finding, Status, takes_gpu
from gateway.diagnosis.host import read_clock, read_model, read_port, read_storage
from gateway.diagnosis.observed import Observed, Wanted
from gateway.diagnosis.probes import (
    read_container,
    read_module,
    read_nodes,
    read_selinux,
    read_system,
    read_variables,
)
from gateway.diagnosis.report import judge
from gateway.diagnosis.trials import look, try_decode, try_product
from gateway.inference.catalogue import BUNDLED, Choice
from gateway.inference.protocol import EngineSpec
from gateway.inference.shelf import choose_model, models_dir
from gateway.resources import data_dir

Note = Callable[[str], None]


def examine(settings: Settings, trials: bool, note: Note) -> Observed:
    """Everything that diagnose knows; `note` hears what is being done. Takes seconds, with trials longer."""
    seen = glance(settings, note)
    note("reading the model")
    kept_in = models_dir(settings.model.models_dir)
    model, choice = read_model(settings.model.model, takes_gpu(seen), kept_in, note)
    note("trying directory and port")
    seen = replace(
        seen,
        model=model,
        storage=read_storage(data_dir(settings.journal.data_dir)),
        port=read_port(settings.server.host, settings.server.port),
        clock=read_clock(),
    )
    return _with_trials(seen, settings, choice if not model.damaged else None, note) if trials else seen


def glance(settings: Settings, note: Note) -> Observed:
    """The accelerator and the way to it only."""
    wanted = Wanted(
        settings.model.device,
        settings.model.compute_type,
        settings.model.model,
        settings.journal.retention_h > 0,
    )
    note("asking the driver")
    trial, accelerator = look()
    accelerator = replace(accelerator, driver=replace(accelerator.driver, module=read_module()))
    return Observed(
        wanted,
        read_system(),
        read_container(),
        read_nodes(),
        read_variables(),
        read_selinux(),
        trial,
        accelerator,
    )


def gpu_trouble(settings: Settings) -> list[Finding]:
    """Why the GPU that was asked for cannot be used: what is broken, each with its remedy."""
    seen = glance(settings, lambda _: None)
    found = judge(seen)
    return [
        finding for finding in found if finding.area == "gpu" and finding.status in {Status.FAIL, Status.WARN}
    ]


def _with_trials(seen: Observed, settings: Settings, choice: Choice | None, note: Note) -> Observed:
    cuda = seen.accelerator.cuda
    if cuda.devices and seen.wanted.device != "cpu":
        note("multiplying matrices on the GPU")
        seen = replace(seen, product=try_product())
    if cuda.version and (cuda.devices or seen.wanted.device != "cuda"):
        spec = _spec(seen, settings, choice)
        note(f"decoding with {spec.name}")
        seen = replace(seen, decode=try_decode(spec))
    return seen


def _spec(seen: Observed, settings: Settings, choice: Choice | None) -> EngineSpec:
    """Of the model that was asked for; of the demo model where that cannot be loaded."""
    model = settings.model
    choice = choice or choose_model("demo", False, Path())
    on_gpu = takes_gpu(seen)
    types = seen.accelerator.cuda.gpu_types if on_gpu else seen.accelerator.cuda.cpu_types
    return EngineSpec(
        choice.directory,
        choice.name,
        "cuda" if on_gpu else "cpu",
        model.compute_type if model.compute_type in types else "auto",
        model.cpu_threads,
        settings.inference,
        bool(choice.entry and choice.entry.short_context),
        choice.entry is not None and choice.entry.revision == BUNDLED,
    )
