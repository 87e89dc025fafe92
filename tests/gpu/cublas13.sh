# Source this where the CUDA libraries are version 13 (beside a cu13 PyTorch, say), before Python starts:
# CTranslate2 4.8 opens libcublas.so.12 by name, and cuBLAS 13 has all of the nine symbols it uses. For float16;
# int8 products are reported not to work this way. Production uses `pip install care-voice[cuda]` instead.
shim=$(mktemp -d)
for library in $(python3 - <<'PY'
import glob, sys
for root in [*(path for path in sys.path if path.endswith("-packages")), "/usr/local/cuda/lib64"]:
    print(*glob.glob(root + "/**/libcublas.so.1*", recursive=True), *glob.glob(root + "/**/libcublasLt.so.1*", recursive=True))
PY
); do
    name=$(basename "$library")
    [ -e "$shim/$name" ] || ln -s "$library" "$shim/$name"
    if [ "$name" = libcublas.so.13 ] && [ ! -e "$shim/libcublas.so.12" ]; then ln -s "$library" "$shim/libcublas.so.12"; fi
done
export LD_LIBRARY_PATH="$shim:${LD_LIBRARY_PATH:-}"
