"""Tensors to model: by content, strictly, with every assumption named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import CheckpointError, registry, saving
from comfyui_motion.networks.layers.blocks import BodyShape, HourglassShape

SMALL = {
    "keypoints": 4,
    "jacobians": 4,
    "detector": HourglassShape(8, 32, 2),
    "dense": HourglassShape(8, 32, 2),
    "body": BodyShape(8, 32, 2, 1),
}


@pytest.fixture
def checkpoint(tmp_path):
    """An untrained FOMM saved as its authors would save it."""
    tensors = motion.build("fomm", **SMALL).state_dict()
    networks = {
        part: {
            k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")
        }
        for part in ("generator", "kp_detector")
    }
    torch.save(
        {
            **networks,
            "optimizer_generator": {"state": {i: torch.rand(9000) for i in range(9)}},
            "epoch": 100,
        },
        tmp_path / "mine.pth.tar",
    )
    return tmp_path / "mine.pth.tar"


def pictures(model):
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 64, 64)
    portrait = model.encode(frames[:1])
    return model.generate(portrait, model.motion(portrait, model.detect(frames)))


def test_inspect_tells_what_a_file_is_and_what_is_assumed(checkpoint):
    found = motion.inspect(checkpoint)
    assert (
        found.family == "fomm"
        and found.parameters.keypoints == 4
        and found.parameters.body == SMALL["body"]
    )
    assert set(found.assumed) == {
        "head_padding",
        "temperature",
        "keypoint_variance",
        "align_corners",
        "size",
    }
    assert found.dropped == ("optimizer_generator", "epoch")
    assert "mine.pth.tar: fomm" in str(found) and "left out" in str(found)


def test_what_no_tensor_tells_can_be_given(checkpoint):
    model = motion.load(checkpoint, device="cpu", align_corners=False, temperature=0.2)
    assert model.spec.align_corners is False and model.spec.temperature == 0.2
    assert (
        model.inspection.assumed["align_corners"]
        == "given"
        != model.inspection.assumed["head_padding"]
    )


def test_an_option_the_family_does_not_take_is_refused(checkpoint):
    with pytest.raises(
        motion.InputError, match="fomm takes no option 'clip_variance'.*head_padding"
    ):
        motion.load(checkpoint, clip_variance=0.0)


def test_converting_keeps_the_model_and_its_configuration_and_sheds_the_rest(checkpoint, tmp_path):
    target = tmp_path / "mine.safetensors"
    motion.convert(checkpoint, target, align_corners=False)
    assert target.stat().st_size < checkpoint.stat().st_size
    again = motion.load(target, device="cpu")
    assert (
        again.spec.align_corners is False
        and again.inspection.assumed["align_corners"] == "written in the file"
    )
    assert torch.equal(
        pictures(again), pictures(motion.load(checkpoint, device="cpu", align_corners=False))
    )
    assert motion.convert(target, tmp_path / "twice.safetensors").parameters == again.spec


def test_weights_stored_in_half_precision_take_half_the_room(checkpoint, tmp_path):
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    motion.convert(checkpoint, full)
    motion.convert(checkpoint, half, torch.float16)
    stored = {
        name: tensor.dtype
        for name, tensor in registry.read(half).tensors.items()
        if name.endswith(".weight")
    }
    assert stored["generator.final.weight"] == torch.float16
    assert half.stat().st_size < 0.7 * full.stat().st_size
    assert_close(
        pictures(motion.load(half, device="cpu")),
        pictures(motion.load(full, device="cpu")),
        atol=0.02,
        rtol=0,
    )


def test_convert_leaves_nothing_behind_when_it_fails(checkpoint, tmp_path):
    with pytest.raises(motion.InputError, match="does not end in .safetensors"):
        motion.convert(checkpoint, tmp_path / "mine.bin")
    with pytest.raises(motion.CheckpointError):
        motion.convert(tmp_path / "missing.pth", tmp_path / "mine.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pth.tar"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda tensors: tensors["generator"].pop("final.weight"),
            "lacks 1 tensors, the first generator.final.weight",
        ),
        (
            lambda tensors: tensors["generator"].update({"final.bias": torch.rand(7)}),
            "unexpected shape, 1 tensors, the first generator.final.bias",
        ),
    ],
    ids=["missing", "shape"],
)
def test_loading_is_strict_and_names_the_first_tensor(checkpoint, change, says):
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, checkpoint)
    with pytest.raises(motion.CheckpointError, match=says):
        motion.load(checkpoint, device="cpu")


def test_old_files_without_batch_counters_load(checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    for part in ("generator", "kp_detector"):
        content[part] = {
            k: v for k, v in content[part].items() if not k.endswith("num_batches_tracked")
        }
    torch.save(content, checkpoint)
    assert motion.load(checkpoint, device="cpu").family == "fomm"


def test_every_published_layout_is_recognised_as_its_own_family(layouts):
    for layout in layouts:
        found = registry.recognise(
            registry.Checkpoint(registry.Path(layout.name), layout.tensors())
        )
        assert found.name == layout.family, layout.name


def test_every_published_layout_loads_strictly(layouts):
    for layout in layouts:
        kind = registry.family(layout.family)
        with torch.device("meta"):
            model = kind.model(registry.parameters(kind, **kind.configure(layout.tensors())))
        registry.fill(model, kind.rename(layout.tensors()), layout.name)


@pytest.mark.parametrize("name", registry.FAMILIES)
def test_parameters_survive_the_metadata_of_a_file(name):
    import json

    kind = registry.family(name)
    stored = json.loads(saving.metadata(name, kind.published)["parameters"])
    assert registry.parameters(kind, **stored) == kind.published


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(motion.InputError, match="no family 'foo'; there are .*fomm"):
        motion.build("foo")
    with pytest.raises(motion.InputError, match="fomm has no parameter 'kp'; it has .*keypoints"):
        motion.build("fomm", kp=10)


def test_the_default_needs_no_file():
    assert motion.load().family == registry.DEFAULT


def test_a_model_saved_is_the_model_loaded(tmp_path):
    built = motion.build("fomm", **SMALL, head_padding=3, size=64)
    loaded = motion.load(motion.save(built, tmp_path / "own.safetensors"))
    assert loaded.spec == built.spec
    assert all(
        torch.equal(loaded.state_dict()[name], tensor)
        for name, tensor in built.state_dict().items()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_what_cannot_be_saved_is_refused(tmp_path):
    built = motion.build("fomm", **SMALL)
    with pytest.raises(motion.InputError, match="end in .safetensors"):
        motion.save(built, tmp_path / "own.pth")
    with pytest.raises(motion.InputError, match="optimised"):
        motion.save(motion.optimise(built), tmp_path / "own.safetensors")


def test_the_model_of_an_earlier_version_is_named_and_what_stands_in_for_it(tmp_path):
    with pytest.raises(CheckpointError, match="puppets is no more: face finds faces"):
        motion.load("puppets")
    shape = HourglassShape(8, 16, 2)
    small = motion.build(
        "mraa", detector=shape, flow=shape, background_encoder=shape, body=BodyShape(8, 16, 1, 1)
    )
    motion.save(small, tmp_path / "own.safetensors")
    said = json.loads(saving.metadata("mraa", small.spec)["parameters"])

    def written(**retired):
        about = saving.metadata("mraa", small.spec)
        about["parameters"] = json.dumps(said | retired)
        path = tmp_path / f"old-{len(retired)}.safetensors"
        save_file(load_file(tmp_path / "own.safetensors"), path, metadata=about)
        return path

    motion.load(written(crowding=0, finer=0, shrink=1))  # as earlier versions wrote their own
    with pytest.raises(CheckpointError, match="the puppets model of an earlier version"):
        motion.load(written(crowding=24, shrink=1))
