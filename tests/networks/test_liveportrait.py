"""LivePortrait computes what the published networks compute, from any of its files."""

import copy
import dataclasses
import shutil

import pytest
import torch
from torch.testing import assert_close

import comfyui_motion as motion
from comfyui_motion import registry
from comfyui_motion.field import identity_grid
from comfyui_motion.networks import liveportrait
from comfyui_motion.networks.liveportrait.files import MARKS, MEMBERS
from comfyui_motion.networks.liveportrait.paint import Spade
from comfyui_motion.retarget import Strengths
from comfyui_motion.speed import fast
from comfyui_motion.speed.optimise import replaced
from tests.heads.acting import SMALL

KIND = liveportrait.FAMILY


def close(found, recorded, tolerance):
    assert found.shape == recorded.shape
    assert_close(found, recorded, atol=tolerance, rtol=0)


def recorded_frames(case, name):
    """Which driving frames a case has the pictures of: all, or the second alone."""
    return slice(None) if len(case.io[name]) == len(case.io["driving"]) else slice(1, 2)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return motion.build("liveportrait", **SMALL)


@pytest.fixture(scope="module")
def cases(golden_sets):
    return [
        (motion.load(case.folder, device="cpu", size=case.io["source"].shape[-1]), case)
        for case in golden_sets
    ]


@torch.no_grad()
def test_every_recorded_number_of_the_motion_network_is_met(cases):
    for model, case in cases:
        for name, points in (
            ("source", model.encode(case.io["source"]).keypoints),
            ("driving", model.detect(case.io["driving"])),
        ):
            recorded = {k.partition(".")[2]: v for k, v in case.io.items() if k.startswith(name)}
            close(points.canonical, recorded["kp"], 1e-5)
            close(points.expression, recorded["exp"], 1e-5)
            close(points.translation, recorded["t"], 1e-5)
            close(points.scale, recorded["scale"][:, 0], 1e-5)
            close(points.turn, recorded["rotation"], 1e-5)
            for i, angle in enumerate(("pitch", "yaw", "roll")):
                close(points.rotation[:, i], recorded[f"{angle}_degrees"], 1e-4)


@torch.no_grad()
def test_the_driver_in_its_own_pose_is_warped_and_painted_as_recorded(cases):
    for model, case in cases:
        portrait, points = model.encode(case.io["source"]), model.detect(case.io["driving"])
        close(portrait.features[-1], case.io["feature"], 1e-5)
        close(portrait.keypoints.x, case.io["x_source"], 1e-5)
        close(points.x, case.io["own.x_driving"], 1e-5)
        field = model.motion(portrait, points)
        close(field.volume, case.io["own.deformation"], 1e-5)
        if "own.occlusion" in case.io:
            close(field.occlusion[-1], case.io["own.occlusion"], 5e-5)
        warped = model.warping_module(portrait.features[-1], field.volume, *field.occlusion)
        close(warped[recorded_frames(case, "own.warped")], case.io["own.warped"], 5e-5)
        shown = field[recorded_frames(case, "own.prediction")]
        close(model.generate(portrait, shown), case.io["own.prediction"], 2e-4)


@torch.no_grad()
def test_every_recorded_pose_is_met(cases):
    for model, case in cases:
        source, points = model.encode(case.io["source"]).keypoints, model.detect(case.io["driving"])
        rest = points[:1]

        def posed(points=points, rest=rest, source=source, **options):
            return motion.retarget(points, rest, source, **options).x

        close(posed(), case.io["relative.x_driving"], 1e-5)
        close(posed(), case.io["relative_friendly.x_driving"], 1e-5)
        close(posed(mode="absolute"), case.io["absolute.x_driving"], 1e-5)
        head, face = Strengths(1, 0, 0, 0), Strengths(0, 1, 1, 1)
        close(posed(strength=head), case.io["relative_pose.x_driving"], 1e-5)
        close(posed(strength=face), case.io["relative_expression.x_driving"], 1e-5)
        stitched = posed(model=model, stitching="published")
        close(stitched, case.io["relative_stitched.x_driving"], 1e-5)


@torch.no_grad()
def test_a_stitched_pose_is_painted_as_recorded(cases):
    for model, case in cases:
        portrait, points = model.encode(case.io["source"]), model.detect(case.io["driving"])
        pose = motion.retarget(
            points, points[:1], portrait.keypoints, model=model, stitching="published"
        )[recorded_frames(case, "relative_stitched.prediction")]
        made = model.generate(portrait, model.motion(portrait, pose))
        close(made, case.io["relative_stitched.prediction"], 2e-4)


@torch.no_grad()
def test_eyes_and_lips_are_retargeted_as_recorded(cases):
    for model, case in cases:
        source, io = model.encode(case.io["source"]).keypoints, case.io
        close(model.eye_change(source, io["eye_ratio"]), io["eye_delta"], 1e-5)
        close(model.lip_change(source, io["lip_ratio"]), io["lip_delta"], 1e-5)


@torch.no_grad()
def test_the_source_in_its_own_pose_does_not_move(small):
    portrait = small.encode(torch.rand(1, 3, 64, 64))
    field = small.motion(portrait, portrait.keypoints)
    close(field.grid[0], identity_grid(*field.size), 1e-5)
    close(field.contributions.sum(1), torch.ones(1, *field.size), 1e-5)


@torch.no_grad()
def test_a_settled_pose_at_rest_is_the_source_and_a_published_one_is_not(small):
    source = small.encode(torch.rand(1, 3, 64, 64)).keypoints
    assert_close(small.stitch(source, source).x, source.x, rtol=0, atol=1e-7)
    assert (small.stitch(source, source, "published").x - source.x).abs().max() > 1e-4


@torch.no_grad()
def test_frames_are_the_same_in_batches_of_any_size(small):
    source, frames = torch.rand(1, 3, 64, 64), torch.rand(8, 3, 64, 64)
    portrait = small.encode(source)

    def made(frames):
        return small.generate(portrait, small.motion(portrait, small.detect(frames)))

    assert_close(made(frames), torch.cat([made(f) for f in frames.split(1)]), atol=2e-5, rtol=0)


@torch.no_grad()
def test_other_sizes_of_pictures_work_and_wrong_ones_are_refused(small):
    portrait = small.encode(torch.rand(1, 3, 96, 64))
    assert small.generate(portrait, small.motion(portrait, portrait.keypoints)).shape[2:] == (
        192,
        128,
    )
    with pytest.raises(motion.InputError, match="multiples of 16"):
        small.encode(torch.rand(1, 3, 100, 64))


def test_the_published_layout_is_configured_as_published_and_loads_strictly(layouts):
    (layout,) = [layout for layout in layouts if layout.family == "liveportrait"]
    spec = registry.parameters(KIND, **KIND.configure(layout.tensors()))
    assert spec == KIND.published
    with torch.device("meta"):
        model = KIND.model(spec)
    registry.fill(model, KIND.rename(layout.tensors()), layout.name)
    counts = {
        name: round(sum(p.numel() for p in getattr(model, name).parameters()) / 1e6, 3)
        for name in MEMBERS
    }
    # the published count of G has the vectors of its spectra beside the weights; here they are gone
    assert counts == dict(zip(MEMBERS, (0.836, 28.119, 45.530, 55.365, 0.227), strict=True))


# Files
# ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(golden_sets, tmp_path):
    return shutil.copytree(golden_sets[0].folder, tmp_path / "models" / "set")


def same(model, other):
    return all(
        torch.allclose(tensor, other.state_dict()[name], rtol=1e-6)
        for name, tensor in model.state_dict().items()
    )


def test_any_file_of_the_set_is_the_set_and_so_is_the_packed_one(folder, tmp_path):
    model = motion.load(folder)
    assert model.family == "liveportrait" and set(MARKS) == {path.stem for path in folder.iterdir()}
    names = set(registry.open_checkpoint(folder).tensors)
    assert all(set(registry.open_checkpoint(path).tensors) == names for path in folder.iterdir())
    assert same(model, motion.load(folder / "stitching_retargeting_module.pth"))
    packed = tmp_path / "packed.safetensors"
    assert motion.convert(folder / "warping_module.pth", packed).family == "liveportrait"
    assert same(model, motion.load(packed))


def test_files_are_known_by_content_not_by_name(folder):
    model = motion.load(folder)
    one, other = folder / "warping_module.pth", folder / "spade_generator.pth"
    one.rename(folder / "swap"), other.rename(one), (folder / "swap").rename(other)
    assert same(model, motion.load(folder))
    for path in list(folder.iterdir()):
        path.rename(folder / f"my-{path.stem[:3]}.pth")
    assert same(model, motion.load(folder))


def test_safetensors_copies_of_the_files_are_the_same_set(folder):
    from safetensors.torch import save_file

    model = motion.load(folder)
    for path in list(folder.iterdir()):
        content = torch.load(path, weights_only=True)
        if path.stem == MEMBERS[-1]:
            content = {
                f"{network}_module.{name.removeprefix('module.')}": tensor
                for network, tensors in content.items()
                for name, tensor in tensors.items()
            }
        save_file({k: v.contiguous() for k, v in content.items()}, path.with_suffix(".safetensors"))
        path.unlink()
    assert same(model, motion.load(folder / "motion_extractor.safetensors"))


def test_without_stitching_it_runs_and_says_so(folder, caplog):
    (folder / "stitching_retargeting_module.pth").unlink()
    model = motion.load(folder)
    assert "stitching_retargeting_module is missing" in caplog.text
    assert "stitching_retargeting_module is missing" in str(model.inspection)
    points = model.detect(torch.rand(2, 3, 64, 64))
    assert_close(motion.retarget(points, points[:1], points[:1], model=model).x[:1], points.x[:1])
    with pytest.raises(motion.InputError, match="stitching_retargeting_module"):
        model.eye_change(points[:1], torch.rand(1, 3))


def test_what_is_missing_or_damaged_is_named(folder):
    path = folder / "warping_module.pth"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for named in (folder, path, folder / "motion_extractor.pth"):
        with pytest.raises(motion.CheckpointError, match=r"warping_module.pth was cut short"):
            motion.load(named)
    path.unlink()
    with pytest.raises(motion.CheckpointError, match="set lacks warping_module of the 5 files"):
        motion.load(folder)


def test_files_of_two_sets_are_refused_by_name(folder):
    path = folder / "warping_module.pth"
    content = torch.load(path, weights_only=True)
    kept = content["third.conv.weight"]
    content["third.conv.weight"] = torch.cat([kept, kept], dim=1)
    torch.save(content, path)
    with pytest.raises(motion.CheckpointError, match="warping_module of the LivePortrait files do"):
        motion.load(folder)
    del content["third.conv.weight"]
    torch.save(content, path)
    with pytest.raises(motion.CheckpointError, match="Take all 5 from one set"):
        motion.load(folder)


def test_numbers_that_are_none_are_refused_by_file_and_tensor(folder):
    path = folder / "stitching_retargeting_module.pth"
    content = torch.load(path, weights_only=True)
    next(iter(content["retarget_eye"].values())).view(-1)[0] = float("nan")
    torch.save(content, path)
    with pytest.raises(motion.CheckpointError, match=r"not finite .*\.retarget_eye"):
        motion.load(folder)


def test_a_pickled_module_beside_the_files_is_none_of_them(folder):
    torch.save(torch.nn.Linear(2, 2), folder / "landmark_model.pth")
    motion.load(folder)
    with pytest.raises(motion.UnknownCheckpoint, match="landmark_model.pth"):
        motion.load(folder / "landmark_model.pth")


@pytest.mark.parametrize("inside", ["model", "params_ema", "exp.net.state_dict"])
def test_files_whose_networks_are_inside_other_dictionaries_are_found(folder, inside):
    wanted = dict(motion.load(folder).state_dict())
    for path in folder.iterdir():
        content = torch.load(path, weights_only=True)
        for name in reversed(inside.split(".")):
            content = {name: content, "epoch": 3}
        torch.save(content, path.with_suffix(".bin"))
        path.unlink()
    assert_close(dict(motion.load(folder).state_dict()), wanted)


def test_animals_are_told_by_their_folder_and_by_content(folder, monkeypatch):
    from comfyui_motion import catalogue

    assert not motion.load(folder).spec.animals
    other = shutil.copytree(folder, folder.parent / "liveportrait_animals" / "base_models")
    assert motion.load(other).spec.animals
    human, animals = (e for e in catalogue.entries() if e.family == "liveportrait")
    digests = {path.name: catalogue.sha256(path) for path in folder.iterdir()}

    def knowing(entry, *names):
        members = tuple(catalogue.Member(n, None, digests[n]) for n in names)
        return dataclasses.replace(entry, members=members)

    monkeypatch.setattr(
        catalogue, "entries", lambda: (human, knowing(animals, "motion_extractor.pth"))
    )
    assert motion.load(folder).spec.animals
    monkeypatch.setattr(
        catalogue,
        "entries",
        lambda: (
            knowing(human, "warping_module.pth"),
            knowing(animals, "motion_extractor.pth"),
        ),
    )
    with pytest.raises(motion.CheckpointError, match="Files of two sets lie together"):
        motion.load(folder)


@pytest.mark.parametrize(
    "other",
    [{"shuffle": 1}, {"occlusion": False}, {"keypoints": 15}, {"encoder": (6,), "decoder": (5,)}],
    ids=["256 pixels", "no occlusion", "15 points", "one level"],
)
def test_files_of_other_kinds_are_configured_by_their_shapes(other, tmp_path):
    model = motion.build("liveportrait", **{**SMALL, **other}).requires_grad_(False)
    for name, tensors in published(model).items():
        torch.save(tensors, tmp_path / f"{name}.pth")
    again = motion.load(tmp_path / f"{MEMBERS[3]}.pth", size=64)
    assert again.spec == model.spec and same(model, again)
    points, portrait = (
        again.detect(torch.rand(2, 3, 64, 64)),
        again.encode(torch.rand(1, 3, 64, 64)),
    )
    pose = motion.retarget(points, points[:1], portrait.keypoints, model=again)
    frames = again.generate(portrait, again.motion(portrait, pose))
    assert frames.shape == (2, 3, *[64 * model.spec.shuffle] * 2)


def published(model):
    """Its tensors by file, as the authors name them."""
    files = {name: {} for name in MEMBERS}
    for key, tensor in model.state_dict().items():
        member, _, name = key.partition(".")
        files[member][name] = tensor
    painted = files[MEMBERS[3]]
    for name in [n for n in painted if n.split(".")[-2] in ("conv_0", "conv_1", "conv_s")]:
        if not name.endswith("weight"):
            continue
        flat = painted.pop(name)
        one = torch.zeros(flat.shape[0]), torch.zeros(flat[0].numel())
        one[0][0], one[1][0] = 1, 1 / flat.flatten()[0]  # a spectrum of 1
        painted |= {f"{name}_orig": flat, f"{name}_u": one[0], f"{name}_v": one[1]}
    files[MEMBERS[4]] = {
        network: {
            f"module.{name.removeprefix(f'{network}.')}": tensor
            for name, tensor in files[MEMBERS[4]].items()
            if name.startswith(network)
        }
        for network in ("retarget_shoulder", "retarget_mouth", "retarget_eye")
    }
    return files


def test_numbers_of_points_that_are_not_21_run_and_know_no_regions():
    model = motion.build("liveportrait", **{**SMALL, "keypoints": 15})
    points = model.detect(torch.rand(2, 3, 64, 64))
    assert motion.retarget(points, points[:1], points[:1], model=model).count == 15
    with pytest.raises(motion.InputError, match="21 points"):
        motion.retarget(points, points[:1], points[:1], strength=Strengths(eyes=0))


@torch.no_grad()
@pytest.mark.parametrize("way", ["cast", "optimised"])
def test_frames_that_half_precision_loses_are_computed_again(small, caplog, way):
    """What overflows in half precision comes out as float32 has it, and the log says so."""
    exact = copy.deepcopy(small)
    exact.spade_generator.up_0.conv_0.weight.mul_(3e5)  # what comes out is normalised after it
    if way == "cast":
        quick = copy.deepcopy(exact).half()
    else:
        quick = motion.optimise(exact, "float16")
    picture = torch.rand(1, 3, 64, 64)
    portrait, own = quick.encode(picture), exact.encode(picture)
    assert portrait.keypoints.position.dtype == torch.float32
    made = quick.generate(portrait, quick.motion(portrait, portrait.keypoints))
    assert "computed again in float32" in caplog.text
    wanted = exact.generate(own, exact.motion(own, own.keypoints))
    assert_close(made, wanted, atol=0.02, rtol=0)


# Speed
# ---------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("mode, least", [("float32", 80), ("bfloat16", 40), ("float16", 45)])
def test_faster_models_say_the_same(cases, mode, least):
    model, case = cases[0]
    quick, io = motion.optimise(model, mode), case.io
    portrait, own = quick.encode(io["source"]), model.encode(io["source"])
    points = quick.detect(io["driving"][1:2])
    assert_close(points.x, model.detect(io["driving"][1:2]).x, atol=1e-5, rtol=0)
    field, exact = quick.motion(portrait, points), model.motion(own, points)
    assert_close(field.grid, exact.grid, atol=1e-3, rtol=0)
    error = (quick.generate(portrait, field) - model.generate(own, exact)).square().mean()
    assert -10 * torch.log10(error) > least


@torch.no_grad()
@pytest.mark.parametrize("times", [2, 4])
def test_phase_kernels_say_what_the_enlarged_map_says(times):
    spade = Spade(channels=5, told=4, hidden=6, times=times)
    quick, features = spade.faster(fast), torch.rand(2, 4, 7, 6)
    whole = quick.read(features)  # as on a CPU
    hidden = torch.relu(quick.distinct(features))
    by_phases = quick.told(hidden) if times == 2 else quick.quartered(hidden)
    assert_close(by_phases, whole, atol=1e-5, rtol=0)
    x = torch.rand(2, 5, 7 * times, 6 * times)
    assert_close(quick(x, features), spade(x, features), atol=1e-5, rtol=0)


@torch.no_grad()
def test_g_by_phases_saves_a_fifth_of_its_multiplications():
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        published = KIND.model(KIND.published).spade_generator.eval()
        features = torch.empty(1, 256, 64, 64)
    counts = []
    for network in (published, replaced(published)):
        with FlopCounterMode(display=False) as counter:
            network(features)
        counts.append(counter.get_total_flops() / 2e9)
    assert counts == pytest.approx([446, 363], abs=1)


def test_a_list_of_models_shows_a_set_once_by_its_folder():
    from comfyui_motion.fileset import listed

    members = [f"{name}.safetensors" for name in MEMBERS]
    names = [*members, *(f"animal/{name}" for name in members), "vox-cpk.pth.tar"]
    shown = listed(names, KIND.files, KIND.files.title)
    assert shown == {
        "LivePortrait": "motion_extractor.safetensors",
        "animal (LivePortrait)": "animal/motion_extractor.safetensors",
        "vox-cpk.pth.tar": "vox-cpk.pth.tar",
    }
