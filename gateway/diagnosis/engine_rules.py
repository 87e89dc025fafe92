"""core: findings about CTranslate2, its libcublas, and what was tried with them."""

from collections.abc import Iterator, Sequence

from gateway.diagnosis.findings import (
    GET_CUBLAS,
    RELOAD,
    Finding,
    Status,
    badness,
    has_signs,
    remedy_for,
    size,
    takes_gpu,
    worst,
)
from gateway.diagnosis.observed import Library, Observed, Trial

SLOW = 0.5
"""Time to decode, per second of speech, from which captions come late even for one speaker."""
AS_REINSTALLED = "install Care Voice's packages anew: pip install --force-reinstall ctranslate2"
EXPLAINED = "see above"
OTHER_MODEL = "see the model's line; care-voice models verify reads its files again; or take another --model"
ENDS = (
    ("SIGKILL", "memory ran out, and dmesg says so: take a smaller --model, or give it more memory"),
    ("SIGILL", "this CPU is too old for CTranslate2, which wants AVX: take another machine"),
    ("no answer", f"take a smaller --model if this machine is slow; on a GPU {RELOAD}"),
)
"""How a process ended that could say nothing -> what to do."""


def judge(seen: Observed, before: Sequence[Finding]) -> list[Finding]:
    """`before`: what was found about driver and GPUs, which may explain why there is none to use."""
    return [*_cublas(seen), *_ctranslate2(seen, before), *_device(seen), *_product(seen), *_decode(seen)]


def _finding(name: str, status: Status, detail: str, remedy: str = "") -> Finding:
    return Finding("gpu", name, status, detail, "" if status in {Status.OK, Status.ABSENT} else remedy)


def _cublas(seen: Observed) -> Iterator[Finding]:
    cublas = seen.accelerator.cublas
    if not (has_signs(seen) or seen.wanted.device == "cuda") or not seen.look.well:
        return
    if cublas.loaded:
        told = f"{cublas.version} from {cublas.loaded}"
        if cublas.version.partition(".")[0] == "12":
            yield _finding("cublas", Status.OK, told)
        else:
            told += ", under the name of libcublas.so.12: float16 works so, int8 is reported not to"
            yield _finding("cublas", Status.WARN, told, GET_CUBLAS)
        return
    fits = [library.path for library in cublas.found if _major(library) == "12"]
    others = [library.path for library in cublas.found if _major(library) != "12"]
    if fits:
        remedy = f"{GET_CUBLAS}; libcublasLt.so.12 must lie beside it"
        yield _finding("cublas", badness(seen), f"{fits[0]} cannot be loaded: {cublas.error}", remedy)
    elif others:
        yield _finding(
            "cublas",
            badness(seen),
            f"only another version is here: {', '.join(others)}; CTranslate2 opens libcublas.so.12",
            GET_CUBLAS,
        )
    else:
        yield _finding("cublas", badness(seen), "libcublas.so.12 is not here", GET_CUBLAS)


def _major(library: Library) -> str:
    """libcublas.so.12, libcublas.so.12.9.1 -> 12"""
    return library.path.rpartition("libcublas.so.")[2].partition(".")[0]


def _ctranslate2(seen: Observed, before: Sequence[Finding]) -> Iterator[Finding]:
    cuda = seen.accelerator.cuda
    if not seen.look.well:
        return
    if not cuda.version:
        yield Finding("model", "ctranslate2", Status.FAIL, f"cannot be loaded: {cuda.error}", AS_REINSTALLED)
        return
    told = f"{cuda.version}; CPU: {', '.join(cuda.cpu_types)}"
    if cuda.devices:
        told += f"; {cuda.devices} GPU(s): {', '.join(cuda.gpu_types)}"
        yield Finding("model", "ctranslate2", Status.OK, told)
    elif badness(seen) is Status.ABSENT:
        yield Finding("model", "ctranslate2", Status.OK, told)
    elif worst(before) in {Status.FAIL, badness(seen)}:
        yield Finding("model", "ctranslate2", Status.OK, f"{told}; no GPU, {EXPLAINED}")
    else:
        why = f"{told}; can use no GPU: {cuda.error or 'it does not say why'}"
        yield _finding("ctranslate2", badness(seen), why, remedy_for(cuda.error))


def _device(seen: Observed) -> Iterator[Finding]:
    """Which device and compute type the gateway would take, and why."""
    wanted, cuda = seen.wanted, seen.accelerator.cuda
    if not cuda.version or (wanted.device == "cuda" and not cuda.devices):
        return  # said already
    device = "cuda" if takes_gpu(seen) else "cpu"
    types = cuda.gpu_types if device == "cuda" else cuda.cpu_types
    told = f"{device}, {seen.accelerator.reason or 'as asked'}"
    if wanted.compute_type in {"auto", *types}:
        yield Finding("model", "device", Status.OK, told)
        return
    detail = f"{told}; --compute-type {wanted.compute_type} cannot be had there"
    remedy = f"take --compute-type auto or one of {', '.join(types)}; look for ENABLE_FP16, too"
    yield Finding("model", "device", Status.FAIL, detail, remedy)


def _product(seen: Observed) -> Iterator[Finding]:
    trial = seen.product
    if trial is None:
        return
    if not trial.well:
        what, remedy = _trouble(trial)
        yield _finding("fp16 product", badness(seen), what, remedy)
    else:
        yield _finding(
            "fp16 product",
            Status.OK,
            f"{trial.figures['flops_per_s'] / 1e12:.3g} TFLOP/s, right to the last digit",
        )


def _decode(seen: Observed) -> Iterator[Finding]:
    trial = seen.decode
    if trial is None:
        return
    name = "decode"
    if not trial.well:
        what, remedy = _trouble(trial)
        yield Finding("model", name, Status.FAIL, what, remedy)
        return
    figures, notes = trial.figures, trial.notes
    stand_in = " (it stands in)" if notes["model"] != seen.model.name else ""
    told = (
        f"{notes['model']}{stand_in} on {notes['device']} in {notes['compute_type']}: "
        f"{figures['audio_s']:.1f} s of speech in {figures['decode_s']:.2f} s; loaded in "
        f"{figures['load_s']:.1f} s, warm in {figures['warm_up_s']:.1f} s; "
        f"memory at most {size(figures['peak_bytes'])}"
    )
    if figures["decode_s"] > SLOW * figures["audio_s"]:
        remedy = "take a smaller --model, a machine with more cores, or a GPU"
        yield Finding("model", name, Status.WARN, f"{told}: captions will come late", remedy)
    else:
        yield Finding("model", name, Status.OK, told)


def _trouble(trial: Trial) -> tuple[str, str]:
    """(what happened, what to do)"""
    if trial.error:
        of_cuda = any(word in trial.error.lower() for word in ("cuda", "cublas", "gpu"))
        return f"{trial.stage}: {trial.error}", remedy_for(trial.error) if of_cuda else OTHER_MODEL
    remedy = next((remedy for sign, remedy in ENDS if sign in trial.ended), RELOAD)
    return f"{trial.stage}: the process {trial.ended}", remedy
