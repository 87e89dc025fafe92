"""shell: `care-voice serve`: settings -> gateway -> run until a signal."""

import asyncio
import gc
import resource
import shutil
import signal
import sys
from typing import Any

import click
import structlog
import uvloop

from gateway import logs
from gateway.app import Gateway, StartError
from gateway.commands.options import as_toml, settings_from, source_of, with_settings
from gateway.config import Settings
from gateway.inference.catalogue import BUNDLED, CatalogueError
from gateway.inference.protocol import EngineError, EngineSpec
from gateway.inference.shelf import choose_model, models_dir
from gateway.resources import static_dir

DEMO_WARNING = (
    "the demo model understands clear synthetic speech only; for people's voices pull a real one: "
    "care-voice models list"
)
log = structlog.get_logger()


@click.command(context_settings={"show_default": True})
@with_settings
@click.option("--print-config", is_flag=True, help="Print the effective settings as TOML, and stop.")
@click.pass_context
def serve(context: click.Context, /, print_config: bool, **values: Any) -> None:
    """Run the gateway.

    Every option is also an environment variable (--port is CARE_VOICE_PORT) and a key of the TOML file given
    with --config. The first Care Voice's WHISPER_MODEL, WHISPER_BATCH_SIZE, ENABLE_FP16 and
    CUDA_VISIBLE_DEVICES work as before.

    \b
      care-voice serve --model demo             try it out, no download
      care-voice models pull small              then: care-voice serve
      care-voice serve --print-config > my.toml then: care-voice serve --config my.toml

    Exit status: 0 after SIGTERM or Ctrl-C, 1 when it cannot start (the message says why), 2 for bad options.
    """
    settings = settings_from(values, context)
    if print_config:
        click.echo(as_toml(settings, context))
        return
    logs.configure(settings.log)
    try:
        uvloop.run(run(settings, choose_engine(settings)))
    except (StartError, EngineError, CatalogueError) as error:
        click.echo(f"care-voice: {_asked_by(context, error)}{error}", err=True)
        if isinstance(error, EngineError) and error.code in {"cuda_unavailable", "cublas_missing"}:
            _say_what_is_wrong(settings)
        sys.exit(1)


def _say_what_is_wrong(settings: Settings) -> None:
    """As `care-voice diagnose` says it, of the GPU."""
    from gateway.diagnosis.examine import gpu_trouble
    from gateway.diagnosis.report import lines

    if found := gpu_trouble(settings):
        click.echo("What is wrong (`care-voice diagnose` looks at all of it):", err=True)
        for _, text in lines(found, shutil.get_terminal_size().columns - 1):
            click.echo(text, err=True)


def _asked_by(context: click.Context, error: Exception) -> str:
    """Who wanted the compute type that cannot be had: it may be a forgotten ENABLE_FP16."""
    is_compute_type = isinstance(error, EngineError) and error.code == "compute_type"
    return f"{source_of(context, 'compute_type')}: " if is_compute_type else ""


def choose_engine(settings: Settings) -> EngineSpec:
    """The model and device that the settings mean here. Raises CatalogueError, EngineError."""
    wanted = settings.model
    cuda = False
    if wanted.device == "cuda" or (wanted.device == "auto" and wanted.model == "auto"):
        from gateway.inference.device import choose_device  # loads CTranslate2, which the gateway needs not

        cuda = choose_device(wanted.device) == "cuda"
    choice = choose_model(wanted.model, cuda, models_dir(wanted.models_dir))
    return EngineSpec(
        model_dir=choice.directory,
        name=choice.name,
        device=wanted.device,
        compute_type=wanted.compute_type,
        cpu_threads=wanted.cpu_threads,
        settings=settings.inference,
        short_context=bool(choice.entry and choice.entry.short_context),
        demo=choice.entry is not None and choice.entry.revision == BUNDLED,
    )


async def run(settings: Settings, spec: EngineSpec) -> None:
    """The gateway's whole life, until SIGTERM or SIGINT."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold what was said
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = Gateway(settings, spec, static_dir())
    port = await gateway.listen()
    address = f"{'https' if gateway.tls else 'http'}://{settings.server.host}:{port}"
    if gateway.tls:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.tls.reload)
    log.info("listening", url=address, model=spec.name)
    warming = asyncio.create_task(gateway.warm_up())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({warming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if warming.done():
            model = warming.result()
            gc.freeze()  # what lives as long as the gateway is never looked through again: 45 ms each time
            log.info(
                "ready",
                url=address,
                model=model.name,
                device=model.device,
                why=model.device_reason,
                compute=model.compute_type,
            )
            if model.demo:
                log.warning(DEMO_WARNING)
            await gateway.supervise(stop)
    finally:
        for task in (warming, stopping):
            task.cancel()
        await asyncio.gather(warming, stopping, return_exceptions=True)
        await gateway.stop()
