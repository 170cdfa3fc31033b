"""MotionModel: the four verbs every family answers to, and Portrait, what the source alone decides.

A family is an `nn.Module` of this kind with its tensors named as its authors name them. Its file in
`networks/` also says how its checkpoints are recognised and configured; `registry` asks. Weights
may be of any floating dtype: keypoints, fields, inverses and splines stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from .errors import InputError
from .field import MotionField
from .keypoints import Keypoints
from .shapes import check_numbers, check_shape

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class Portrait:
    """A source picture, encoded once for any number of frames.

    Families add what theirs needs by subclassing.
    """

    picture: Tensor  # B C H W in 0..1
    keypoints: Any  # Keypoints, but for families that have none
    features: tuple[Tensor, ...] = ()  # what the generator warps

    def to(self, device: torch.device | str) -> Self:
        """The same portrait with every tensor of it on that device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _moved(value, device) for name, value in values.items()})


P = TypeVar("P", bound=Portrait)


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(each, device) for each in cast("tuple[Any, ...]", value))
    return value.to(device) if hasattr(value, "to") else value


@dataclass(frozen=True)
class Placement:
    """Where the driver's subject sits in the source: two boxes round the same thing, (left, top,
    right, bottom), -1..1 in each picture.

    For models of any size, which are shown whole pictures; others are shown the boxes (see `fit`).
    """

    source: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)
    reference: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)

    def carry(self, position: Tensor) -> Tensor:
        """Points of the reference to points of the source. ... 2 -> ... 2"""
        source, reference = (
            position.new_tensor(box).view(2, 2) for box in (self.source, self.reference)
        )
        return (position - reference[0]) / (reference[1] - reference[0]) * (
            source[1] - source[0]
        ) + source[0]


Detect = Callable[[Tensor, Tensor | None], Keypoints]


class MotionModel(nn.Module):
    """One motion-transfer network, whole.

    The verbs take batches and give values; see each family for its equations.
    """

    family: ClassVar[str]
    # the verbs take pictures of any size and aspect, and encode takes a Placement
    any_size: ClassVar[bool] = False
    looks_ahead: ClassVar[bool] = False  # it is shown the whole clip first, see `rehearse`
    # its keypoints tell which driving frame is posed most like the source; where they do not, the
    # best reference is the first frame
    compares: ClassVar[bool] = True
    # encode makes one portrait of several pictures of one subject
    many_sources: ClassVar[bool] = False
    # frames at a time on a CPU: with more, maps outgrow what the allocator reuses, and TPSMM takes
    # a quarter longer
    at_once: ClassVar[int] = 2
    # on a CPU a batch is posed while the one before is painted: both are many small steps, which
    # share cores badly, each by itself
    poses_ahead: ClassVar[bool] = False
    finds_faces: ClassVar[bool] = False  # it can be a finder, see framing.find
    finding: ClassVar[
        tuple[str, ...]
    ] = ()  # the modules that find keypoints: float32 in every mode of `optimise`
    painting: ClassVar[
        tuple[str, ...]
    ] = ()  # the modules that paint pixels and decide nothing else: they may round as bfloat16 does
    # what training and the bench ask of a family
    part_names: ClassVar[tuple[str, ...]] = ()  # of `segment`, the background first; else numbers
    heatmap_head: ClassVar[str] = ""  # the convolution whose maps become the keypoints' heatmaps
    trained_apart: ClassVar[tuple[str, ...]] = ()  # modules that have a stage of their own
    # of untrained heads by name: how far the bench spreads their outputs, where not by 1.5
    head_gains: ClassVar[Mapping[str, float]] = {}
    benched: ClassVar[bool] = False  # measured by `bench` where no family is named
    spec: Any  # the family's frozen Parameters
    # it is shown one head, level and cropped, and never whole pictures: see `heads`
    level: ClassVar[bool] = False
    # what finds those heads, made when it is first asked (networks.face.finder)
    finder: Callable[[], Any] | None = None
    # of pictures, where `optimise` left the networks in several dtypes
    takes: torch.dtype | None = None
    keeps: torch.dtype | None = None  # of encoded features there
    inspection: Any = None  # what registry recognised and assumed, when it came from a file

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.spec = spec

    @property
    def size(self) -> int:
        """The side of the square pictures it was trained on."""
        return self.spec.size

    @property
    def multiple(self) -> int:
        """Heights and widths that the network can take are multiples of this."""
        return 1

    @property
    def smallest(self) -> int:
        """The least height and width it can take."""
        return self.multiple

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The narrowest of its weights': what finds keypoints may stay float32 in a narrower
        network.
        """
        return self.takes or min(
            (parameter.dtype for parameter in self.parameters()), key=lambda dtype: dtype.itemsize
        )

    def detect(self, frames: Tensor, reference: Tensor | None = None) -> Keypoints:
        """Keypoints of each frame.

        B C H W in 0..1 -> B K. `reference` is used by models that follow points from it; others
        ignore it.
        """
        raise NotImplementedError

    def tracker(self, rate: float | None = None) -> Detect:
        """`detect` for one frame after another of what has no end, a camera's: it may look where
        the subject was in the frame before. `rate` in frames a second; None: as they come.
        """
        return self.detect

    def encode(self, source: Tensor, placement: Placement | None = None) -> Portrait:
        """All that the source alone decides. 1 C H W in 0..1, or B C H W where every frame has a
        source of its own.

        `placement` says where the driver's subject sits in it, to models of any size.
        """
        raise NotImplementedError

    def motion(
        self, portrait: Portrait, pose: Keypoints, frames: Tensor | None = None
    ) -> MotionField:
        """The field that poses the portrait's source so.

        `frames` (B C H W, the driving frames) adds a background predictor where there is one.
        """
        raise NotImplementedError

    def moving(self, portrait: Portrait, pose: Keypoints) -> MotionField:
        """`motion`, for frames alone: what is hidden may be left out, where they need it not."""
        return self.motion(portrait, pose)

    def generate(self, portrait: Portrait, field: MotionField) -> Tensor:
        """The source moved by the field, what it hides made up. B C H W float32 in 0..1"""
        raise NotImplementedError

    def unlit(self) -> MotionModel:
        """The same, carrying over nothing of a driver's light; itself, where it never does."""
        return self

    def expect(self, source: Tensor, placement: Placement | None = None) -> None:
        """Told that the picture (1 3 H W) is to be encoded soon."""

    def rehearse(
        self,
        source: Tensor,
        clip: Iterable[Tensor],
        reference: int | None,
        placement: Placement | None,
    ) -> tuple[MotionModel, Any]:
        """Who animates this picture (1 3 H W) by this clip (batches of frames), and what a look at
        the whole clip told of it: None for models that need none.

        `reference` is the frame that motion is measured from; None: the model chooses.
        """
        return self, None

    def repose(self, portrait: Portrait, keypoints: Keypoints) -> Portrait:
        """The portrait with its keypoints put right by hand, or known from elsewhere. B K, like its
        own; what they lack stays as detected.

        Raises InputError where the family has no keypoints, or has another number of them.
        """
        raise InputError(
            f"The keypoints of a {self.family} portrait cannot be replaced; those of FOMM, MRAA,"
            " TPSMM, Monkey-Net and co-part models can."
        )

    @property
    def has_parts(self) -> bool:
        """Whether the family knows a subject's parts."""
        return type(self).segment is not MotionModel.segment

    def segment(self, frames: Tensor) -> Tensor:
        """Soft part masks. B C H W -> B K+1 h w, summing to 1, part 0 the background.

        Raises InputError where the family has no parts.
        """
        raise InputError(
            f"The {self.family} family knows no parts; face, which comes with the pack,"
            " co-part segmentation, MRAA and TPSMM checkpoints do."
        )

    def stitch(self, source: Keypoints, pose: Keypoints, stitching: str = "settled") -> Keypoints:
        """The pose, met with the picture round the subject by a network where the family has one
        (see `retarget`); else the pose as it is.
        """
        return pose

    def restitch(self, source: Keypoints, before: Keypoints, after: Keypoints) -> Keypoints:
        """A pose that was changed since it was stitched: with what stitching says of the change."""
        return after

    def settle(self) -> None:
        """What the weights as published decide once and for all, before `optimise` rearranges
        them.
        """

    def target(self, pictures: Tensor) -> Portrait:
        """What `swap` needs of the pictures that parts are laid over. B C H W"""
        return self.encode(pictures)

    def across(self, portrait: Portrait, target: Portrait) -> MotionField:
        """The field that lays the portrait's subject over the targets'."""
        return self.motion(portrait, target.keypoints)

    def swap(
        self, portrait: Portrait, target: Portrait, field: MotionField, mask: Tensor
    ) -> Tensor:
        """The portrait's source, moved by the field, in place of the target where `mask` (B 1 h w)
        is 1. Raises InputError where a family cannot.
        """
        raise InputError(
            f"The {self.family} family cannot swap parts; face, which comes with the pack,"
            " co-part segmentation and FOMM checkpoints do."
        )

    def avd(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        """Animation via disentanglement (MRAA, section 3.3).

        Raises InputError where the checkpoint has no such network.
        """
        raise InputError(
            f"Mode avd needs a checkpoint with an avd_network, and this {self.family} model has"
            " none; use relative."
        )

    @property
    def offers(self) -> frozenset[str]:
        """What of it a loss can be about, beside the pictures it makes: "keypoints", their "frames"
        and "heatmaps", their "contributions" to the field, its "occlusion", "background",
        "appearance", "avd", "figure".
        """
        return frozenset()

    @property
    def half_turns(self) -> bool:
        """Whether a keypoint's frame and its negative are one, as those of principal axes are."""
        return False

    def portraits(self, sources: Tensor) -> Portrait:
        """As many portraits as pictures, in one: what pairs of frames are trained on. B C H W"""
        return self.encode(sources)

    def appearance(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Features at every size that the generator warps, fine to coarse, for "appearance"."""
        raise NotImplementedError

    def background_motion(self, source: Tensor, driving: Tensor) -> Tensor:
        """How the background moved, from driving to source coordinates, for "background". B 3 3"""
        raise NotImplementedError

    def drop_contributions(self, chance: float) -> None:
        """From now on, in training, leave each keypoint's contribution out so often.

        Raises InputError where the family has no such dropout.
        """
        raise InputError(f"The {self.family} family has no dropout of contributions; leave it out.")

    def adopted(self, family: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Another family's tensors under the names they have here, as far as they have any."""
        return tensors

    def accept(
        self, frames: Tensor, name: str = "frames", dtype: torch.dtype | None = None
    ) -> Tensor:
        """A boundary check: pictures this network can take, on its device, in its dtype or the one
        given. Raises InputError.
        """
        check_shape(name, frames, f"B {self.spec.channels} H W")
        if not frames.is_floating_point():
            raise InputError(
                f"{name} must be floating point in 0..1, and is {frames.dtype}; divide by its"
                " largest value first."
            )
        height, width = frames.shape[-2:]
        if height % self.multiple or width % self.multiple or min(height, width) < self.smallest:
            least = f", at least {self.smallest}" if self.smallest > self.multiple else ""
            raise InputError(
                f"This {self.family} network takes heights and widths that are multiples of"
                f" {self.multiple}{least}, and {name} is {width}x{height}; resize to"
                f" {self.size}x{self.size}, its native size, or let animate() do it."
            )
        if frames.device.type == "cpu":  # a look at what a GPU holds would wait for it
            check_numbers(frames, name)
        return frames.to(self.device, dtype or self.dtype)

    def kept(self, features: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Encoded features, as a portrait keeps them."""
        return (
            tuple(features)
            if self.keeps is None
            else tuple(level.to(self.keeps) for level in features)
        )


def own(portrait: Portrait, kind: type[P]) -> P:
    """The portrait, if it is one of that family's. Raises InputError."""
    if not isinstance(portrait, kind):
        raise InputError(
            f"This portrait ({type(portrait).__name__}) was encoded by a model of another family;"
            " encode the source with the model that is to move it."
        )
    return portrait


def corrected(own: Keypoints, given: Keypoints) -> Keypoints:
    """The points of a portrait replaced by others: what those lack stays, what the model has no use
    for is left out. Raises InputError.
    """
    if given.count != own.count or len(given) != len(own):
        raise InputError(
            f"This portrait has {len(own)} x {own.count} keypoints, and {len(given)} x"
            f" {given.count} were given in their place."
        )
    given = given.to(own.position.device)
    return replace(
        own,
        **{
            name: getattr(given, name)
            for name, _ in own.points()
            if getattr(given, name) is not None
        },
    )


@dataclass(frozen=True)
class Files:
    """How a checkpoint is published that is several files in one folder."""

    title: str  # as a list of models shows the set
    which: Callable[
        [Mapping[str, Tensor]], str | None
    ]  # which of them these tensors are, by their names
    names: tuple[str, ...]  # what each is called, without its ending
    optional: Mapping[str, str]  # those that may be missing → what is then not done


@dataclass(frozen=True)
class Family:
    """What `registry` needs to know of a family.

    Tensor names are flattened ("generator.first.conv.weight"), `module.` stripped.
    """

    name: str
    model: Callable[[Any], MotionModel]
    published: Any  # the family's Parameters, as most published checkpoints have them
    recognise: Callable[[Mapping[str, Tensor]], bool]
    configure: Callable[
        [Mapping[str, Tensor]], dict[str, Any]
    ]  # the values of Parameters that the shapes tell
    # to the names of the module here
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    assumed: tuple[
        str, ...
    ] = ()  # names of Parameters that no tensor tells, each a keyword of load()
    files: Files | None = None  # where a checkpoint is several of them
    # Parameters of earlier versions, and the values at which they changed nothing
    retired: Mapping[str, Any] = field(default_factory=dict[str, Any])
