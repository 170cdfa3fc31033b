"""Makes models/face.safetensors of the networks inside a mediapipe wheel.

    pip download --no-deps mediapipe==0.10.21
    pip install tflite
    python models/sources/convert_face.py mediapipe-0.10.21-*.whl

Weights are taken as they are stored there, in float16, and named for the modules of
`comfyui_motion.networks.face`. Which file each network came from, with its SHA-256, is written into
the metadata; the same wheel gives the same file to the bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

MODELS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(MODELS.parent))

from comfyui_motion.networks.face.networks import FaceNetworks  # noqa: E402

MODULES = "mediapipe/modules/"
PACKAGE = "mediapipe 0.10.21"
SOURCES = {
    "detector": MODULES + "face_detection/face_detection_short_range.tflite",
    "mesh": MODULES + "face_landmark/face_landmark_with_attention.tflite",
    "person": MODULES + "selfie_segmentation/selfie_segmentation.tflite",
}
SHA256 = {
    "detector": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "mesh": "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    "person": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a graph."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A .tflite file: its operations in order, and the floating point constants they read."""

    steps: list[Step]
    constants: dict[int, np.ndarray]
    outputs: tuple[int, ...]

    @staticmethod
    def parse(content: bytes) -> Graph:
        import tflite

        model = tflite.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        kinds = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}

        def kind(code) -> str:
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            return code.CustomCode().decode() if kinds[number] == "CUSTOM" else kinds[number]

        codes = [kind(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
        steps = [
            Step(
                codes[step.OpcodeIndex()],
                tuple(step.InputsAsNumpy().tolist()),
                tuple(step.OutputsAsNumpy().tolist()),
            )
            for step in map(graph.Operators, range(graph.OperatorsLength()))
        ]
        constants = {}
        for i in range(graph.TensorsLength()):
            tensor = graph.Tensors(i)
            stored = model.Buffers(tensor.Buffer()).DataAsNumpy()
            if isinstance(stored, np.ndarray) and tensor.Type() == tflite.TensorType.FLOAT16:
                constants[i] = stored.view(np.float16).reshape(tensor.ShapeAsNumpy())
        widened = {
            step.outputs[0]: constants[step.inputs[0]]
            for step in steps
            if step.kind == "DEQUANTIZE"
        }
        steps = [step for step in steps if step.kind != "DEQUANTIZE"]
        return Graph(steps, widened, tuple(graph.OutputsAsNumpy().tolist()))

    def leading_to(self, target: int, after: tuple[str, ...] = ()) -> list[Step]:
        """The operations that make a tensor, in order, back to those of the kinds named."""
        made_by = {step.outputs[0]: step for step in self.steps}
        wanted, todo = set(), [target]
        while todo:
            step = made_by.get(todo.pop())
            if step is not None and step.outputs[0] not in wanted and step.kind not in after:
                wanted.add(step.outputs[0])
                todo.extend(step.inputs)
        return [step for step in self.steps if step.outputs[0] in wanted]

    def weights(self, steps: list[Step]) -> Iterator[Tensor]:
        """Weights and biases in the order of their use, laid out as PyTorch has them."""
        for step in steps:
            for number in step.inputs[1:] if step.kind in LEARNED else ():
                yield torch.from_numpy(laid_out(self.constants[number], step.kind).copy())


# How each kind's weights are turned to (out, in, rows, columns), but for the last: (in, out, ...)
LEARNED = {
    "CONV_2D": (0, 3, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "PRELU": None,
    "Convolution2DTransposeBias": (3, 0, 1, 2),
}


def laid_out(values: np.ndarray, kind: str) -> np.ndarray:
    if kind == "PRELU":
        return values.reshape(-1)
    return values if values.ndim == 1 else values.transpose(LEARNED[kind])


CUT = ("TransformTensorBilinear", "Landmarks2TransformMatrix")


def streams(graph: Graph, network: str) -> dict[str, list[Step]]:
    """The operations of each part of a network, by the part's name, in the module's order."""
    if network != "mesh":
        return {"": graph.steps}
    # Here an eye has the side on which a viewer sees it; in our names it is the subject's own.
    surface, lips, *eyes, flag = graph.outputs
    parts = {"": graph.leading_to(surface), "flag": graph.leading_to(flag)[-1:]}
    parts["mouth"] = graph.leading_to(lips, CUT)
    for side, lids, iris in (("right", eyes[0], eyes[2]), ("left", eyes[1], eyes[3])):
        lids, iris = graph.leading_to(lids, CUT), graph.leading_to(iris, CUT)
        shared = [step for step in lids if step in iris]
        parts[f"{side}_eye.region"] = shared
        parts[f"{side}_eye.lids"] = [step for step in lids if step not in shared]
        parts[f"{side}_eye.iris"] = [step for step in iris if step not in shared]
    return parts


def named(module: nn.Module, graph: Graph, network: str) -> dict[str, Tensor]:
    """Every weight of a network under the name that its module gives it. Raises ValueError."""
    parts = streams(graph, network)
    wanted = {name: [] for name in parts}
    for name, parameter in module.named_parameters():
        part = max((part for part in parts if name.startswith(part)), key=len)
        wanted[part].append((name, parameter))
    found = {}
    for part, parameters in wanted.items():
        for (name, parameter), value in zip(parameters, graph.weights(parts[part]), strict=True):
            if parameter.shape != value.shape:
                raise ValueError(f"{network}.{name} is {parameter.shape}, not {value.shape}.")
            found[f"{network}.{name}"] = value
    return found


def in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: safetensors itself writes them in any order."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl, of any platform")
    parser.add_argument("-o", "--output", type=Path, default=MODELS / "face.safetensors")
    options = parser.parse_args()
    networks, tensors, sources = FaceNetworks(), {}, {}
    with zipfile.ZipFile(options.wheel) as wheel:
        for network, path in SOURCES.items():
            content = wheel.read(path)
            digest = hashlib.sha256(content).hexdigest()
            if digest != SHA256[network]:
                sys.exit(f"{path} has SHA-256 {digest}, not that of {PACKAGE}; use its wheel.")
            tensors |= named(getattr(networks, network), Graph.parse(content), network)
            sources[network] = {"package": PACKAGE, "file": path, "sha256": digest}
    about = {"format": "comfyui_motion", "family": "face", "parameters": "{}"}
    about |= {"licence": "Apache-2.0", "sources": json.dumps(sources)}
    options.output.write_bytes(in_order(save(tensors, metadata=about)))
    print(f"{options.output}: {len(tensors)} tensors of {PACKAGE}.")


if __name__ == "__main__":
    main()
