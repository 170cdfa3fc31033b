#!/bin/sh
# What this pack does on a GPU, in at most 12 minutes, without a network:
#     sh benchmarks/gpu.sh [WHEELS]
# from a checkout, with a python3 that has PyTorch for the GPU. What else the pack imports is taken from
# the folder WHEELS (pip download --only-binary=:all: kornia kornia_rs einops opencv-python-headless av
# safetensors, made where there is a network), if it is not installed. Writes benchmarks/results/gpu-*.
set -e
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
if [ -n "$1" ]; then
    site=$(mktemp -d)
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$site" "$1"/*.whl
    PYTHONPATH="$site:$PYTHONPATH"
fi
PYTHONPATH="$PWD:$PYTHONPATH" PYTHONUNBUFFERED=1 exec "$PYTHON" -m comfyui_motion bench --gpu ${DEVICE:+--device "$DEVICE"} ${MINUTES:+--minutes "$MINUTES"}
