#!/bin/sh
# What this pack does on a GPU, in at most 12 minutes, without a network:
#     sh benchmarks/gpu.sh [WHEELS]
# from a checkout, with a python3 that has PyTorch for the GPU. What else the pack imports is taken from
# the folder WHEELS (benchmarks/wheels), as far as it is not installed. To fill that where there is a
# network, for another machine's Python:
#     sh benchmarks/gpu.sh fetch --python-version 3.12 --platform manylinux_2_28_x86_64 ...
# Writes benchmarks/results/gpu-NAME.json and .md as it goes. Each section is a process of its own: one
# that crashes or takes too long loses nothing of the others. May be set: PYTHON, DEVICE, MINUTES, OUT
# (a folder), PACKAGES (fewer to fetch). DEVICE=cpu proves the script with small networks.
set -e
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
NEEDED=${PACKAGES:-numpy pillow safetensors einops kornia kornia_rs opencv-python-headless av tqdm}
if [ "$1" = fetch ]; then
    shift
    exec "$PYTHON" -m pip download --no-deps --only-binary=:all: -d benchmarks/wheels "$@" $NEEDED
fi
export PYTHONPATH="$PWD:$PYTHONPATH" PYTHONUNBUFFERED=1
missing() {
    "$PYTHON" -c '
import importlib.util as found
names = dict(numpy="numpy", PIL="pillow", safetensors="safetensors", einops="einops", kornia="kornia",
             kornia_rs="kornia_rs", cv2="opencv-python-headless", av="av", tqdm="tqdm")
print(*(package for name, package in names.items() if not found.find_spec(name)))'
}
lacking=$(missing)
wheels=${1:-benchmarks/wheels}
if [ -n "$lacking" ] && [ -d "$wheels" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    for package in $lacking; do
        "$PYTHON" -m pip install -qqq --root-user-action ignore --no-index --no-deps --no-compile --target "$site" \
            --find-links "$wheels" "$package" || true
    done
    PYTHONPATH="$site:$PYTHONPATH"
    lacking=$(missing)
fi
case " $lacking " in
*" numpy "* | *" safetensors "* | *" einops "* | *" kornia "*)
    echo "This python3 lacks $lacking, and $wheels does not hold it: sh benchmarks/gpu.sh fetch" >&2
    echo "downloads what is needed where there is a network; copy the folder here, and run this again." >&2
    exit 2
    ;;
esac
[ -z "$lacking" ] || echo "Without $lacking some sections cannot run; the report says which." >&2
"$PYTHON" -m comfyui_motion bench --gpu ${OUT:+-o "$OUT"} ${DEVICE:+--device "$DEVICE"} \
    ${MINUTES:+--minutes "$MINUTES"}
