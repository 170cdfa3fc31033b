"""What training minimises, as flat functions of tensors and values. Each gives one number; weights
are the recipe's.

Reconstruction needs only pictures; equivariance, a known warp; the supervised ones, a Truth that a
renderer brought. Distances are in the coordinates of keypoints: the picture is 2 wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import Keypoints, MotionField
from ..data.pairs import Truth
from ..geometry.affine import inverse
from .warps import Transform

LEVELS = 4  # of pyramids: full size, 1/2, 1/4, 1/8
SMALLEST = 4  # the least side of a level
SINGULAR = 1e-9  # determinants nearer to zero count as this
ENOUGH = 64  # rows and columns at which who moves a pixel is asked


# Reconstruction
# --------------------------------------------------------------------------------------------------


def pyramid(picture: Tensor) -> list[Tensor]:
    """The picture at 1, 1/2, 1/4 and 1/8, each averaged from the one before.

    Levels smaller than 4 pixels are left out.
    """
    levels = [picture]
    while len(levels) < LEVELS and min(levels[-1].shape[-2:]) >= 2 * SMALLEST:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def pyramid_l1(prediction: Tensor, driving: Tensor) -> Tensor:
    """Mean absolute difference, averaged over the pyramid: what is used where no VGG weights are at
    hand.
    """
    return torch.stack(
        [(a - b).abs().mean() for a, b in zip(pyramid(prediction), pyramid(driving), strict=True)]
    ).mean()


def gradient_l1(prediction: Tensor, driving: Tensor) -> Tensor:
    """The same of the differences between neighbouring pixels: edges in their places."""

    def slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
        return picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]

    levels = zip(pyramid(prediction), pyramid(driving), strict=True)
    return torch.stack(
        [(x - y).abs().mean() for a, b in levels for x, y in zip(slopes(a), slopes(b), strict=True)]
    ).mean()


def features_l1(prediction: Sequence[Tensor], driving: Sequence[Tensor]) -> Tensor:
    """Sum over maps of their mean absolute difference, the driving frame's taken as given (Johnson
    et al., 2016; FOMM, eq. 9).
    """
    return sum(
        ((a - b.detach()).abs().mean() for a, b in zip(prediction, driving, strict=True)),
        start=prediction[0].new_zeros(()),
    )


# Equivariance
# --------------------------------------------------------------------------------------------------


def equivariance(driving: Keypoints, warped: Keypoints, transform: Transform) -> Tensor:
    """|p - T(p')|, p' the keypoints of the warped frame (FOMM, eq. 10; MRAA, section 3.4)."""
    return (driving.position - transform(warped.position)).abs().mean()


def equivariance_frames(
    driving: Keypoints, warped: Keypoints, transform: Transform, half_turns: bool = False
) -> Tensor:
    """|1 - J^-1 (dT J')| (FOMM, eq. 11). With `half_turns` a frame and its negative are one, as
    MRAA's principal axes are.
    """
    assert driving.jacobian is not None and warped.jacobian is not None
    product = inverse(driving.jacobian, SINGULAR) @ (
        transform.jacobian(warped.position) @ warped.jacobian
    )
    if half_turns:
        product = product * torch.where(product[..., :1, :1] < 0, -1.0, 1.0)
    return (torch.eye(2, device=product.device) - product).abs().mean()


# TPSMM's own
# --------------------------------------------------------------------------------------------------


def warp_loss(source: Sequence[Tensor], driving: Sequence[Tensor], field: MotionField) -> Tensor:
    """Encoder features of the source, warped, against those of the driving frame, where the source
    shows them (TPSMM, eq. 11).

    Features fine to coarse, the field's occlusion coarse to fine. The masks are taken as given:
    hiding all would match best.
    """
    total = field.grid.new_zeros(())
    for i, (ours, theirs) in enumerate(zip(reversed(source), reversed(driving), strict=True)):
        shown = field.occlusion[min(i, len(field.occlusion) - 1)].detach()
        shown = F.interpolate(shown, size=ours.shape[-2:], mode="bilinear", align_corners=True)
        total = total + ((field.warp(ours) - theirs) * shown).abs().mean()
    return total


def background_loss(there: Tensor, back: Tensor) -> Tensor:
    """|A' A - 1|, A' being predicted from the pair swapped (TPSMM, eq. 12). B 3 3 twice"""
    return (there @ back - torch.eye(3, device=there.device)).abs().mean()


# Adversarial
# --------------------------------------------------------------------------------------------------


def fooled(scores: Sequence[Tensor]) -> Tensor:
    """The generator's: (1 - D(prediction))^2 (Mao et al., 2017)."""
    return sum(((1 - score).square().mean() for score in scores), start=scores[0].new_zeros(()))


def told_apart(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """The discriminator's: (1 - D(driving))^2 + D(prediction)^2 (Mao et al., 2017)."""
    pairs = zip(real, made, strict=True)
    return sum(
        ((1 - a).square().mean() + b.square().mean() for a, b in pairs), start=real[0].new_zeros(())
    )


# Supervised: what only a renderer knows
# ------------------------------------------------------------------------------------------


def joints_l1(found: Keypoints, true: Keypoints, known: Tensor) -> Tensor:
    """How far the joints that are there are off, per coordinate."""
    return masked_mean((found.position - true.position).abs().mean(-1), known)


def displacement_error(
    source: Keypoints, driving: Keypoints, truth: Truth, floor: float = 0.02
) -> Tensor:
    """How wrongly joints move, over how far they do: what stands still well but moves
    badly costs.
    """
    true = truth.driving.position - truth.source.position
    wrong = (driving.position - source.position - true).abs().sum(-1)
    return masked_mean(wrong / (true.abs().sum(-1) + floor), truth.known)


def frames_l1(source: Keypoints, driving: Keypoints, truth: Truth) -> Tensor:
    """J_source J_driving^-1 against the true one: what a frame is called is the detector's, what
    carries one to the other is not.
    """
    assert source.jacobian is not None and driving.jacobian is not None
    assert truth.source.jacobian is not None and truth.driving.jacobian is not None
    true = truth.source.jacobian @ inverse(truth.driving.jacobian, SINGULAR)
    return masked_mean(
        (source.jacobian @ inverse(driving.jacobian, SINGULAR) - true).abs().mean((-1, -2)),
        truth.known,
    )


def follows_flow(source: Keypoints, driving: Keypoints, truth: Truth) -> Tensor:
    """Wherever a point lies on the driving frame, the source's must lie where the true flow leads
    from there; hidden ones are free.
    """
    where = driving.position.detach()[:, None]  # B 1 K 2
    true = _read(truth.grid.permute(0, 3, 1, 2), where)  # B 2 1 K
    seen = _read(truth.visible, where)[:, 0, 0]  # B K
    return masked_mean((source.position - true[:, :, 0].mT).abs().mean(-1), seen)


def _read(maps: Tensor, points: Tensor) -> Tensor:
    """B C H W at B 1 K 2 -> B C 1 K"""
    return F.grid_sample(maps, points, mode="bilinear", padding_mode="border", align_corners=True)


def near_joints_l1(
    prediction: Tensor, driving: Tensor, truth: Truth, sigma: float = 0.08
) -> Tensor:
    """Mean absolute difference round the joints that are there: most where many lie close, as on
    lips and lids, which are small and looked at.
    """
    return masked_mean(
        (prediction - driving).abs(),
        near_joints(truth, driving.shape[-2], driving.shape[-1], sigma),
    )


def hidden_l1(prediction: Tensor, driving: Tensor, truth: Truth) -> Tensor:
    """Mean absolute difference where the source hides what the driving frame shows: a twentieth of
    the picture, and most of what can be wrong there.
    """
    return masked_mean((prediction - driving).abs(), 1 - truth.visible)


def near_joints(truth: Truth, height: int, width: int, sigma: float) -> Tensor:
    """How near the driving frame's joints are that are there: a bell round each, added
    up. B 1 H W
    """
    x, y = truth.driving.position.unbind(-1)  # B K
    columns, rows = (torch.linspace(-1, 1, side, device=x.device) for side in (width, height))
    # B K W, B K H
    across, down = (
        torch.exp(-0.5 * ((line - at[..., None]) / sigma) ** 2)
        for line, at in ((columns, x), (rows, y))
    )
    return torch.einsum("bkh,bkw->bhw", down * truth.known[..., None], across)[:, None]


def heatmap_cross_entropy(
    logits: Tensor, true: Keypoints, known: Tensor, sigma: float = 0.06
) -> Tensor:
    """Of a softmax over pixels, against a Gaussian round each joint that is there. B K h w"""
    height, width = logits.shape[-2:]
    offset = (
        MotionField.identity(1, height, width, logits).grid[:, None]
        - true.position[:, :, None, None]
    )  # B K h w 2
    target = torch.exp(-0.5 * offset.square().sum(-1) / sigma**2).flatten(2)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-6)
    return masked_mean(-(target * logits.float().flatten(2).log_softmax(-1)).sum(-1), known)


def flow_l1(field: MotionField, truth: Truth) -> Tensor:
    """The field's displacements against the true ones, where the source shows the pixel or would,
    were it larger.
    """
    true, visible = truth.grid, followed(truth)
    still = MotionField.identity(1, *true.shape[1:3], like=true).grid
    moved = (true - still).permute(0, 3, 1, 2) * visible
    moved, seen = (F.interpolate(maps, field.size, mode="area") for maps in (moved, visible))
    ours = (field.grid - MotionField.identity(1, *field.size, like=true).grid).permute(0, 3, 1, 2)
    return masked_mean(
        (ours - moved / seen.clamp(min=1e-6)).abs().mean(1, keepdim=True), seen * (seen > 0.5)
    )


def followed(truth: Truth) -> Tensor:
    """Where a field should be true: what the source shows, and what comes from beyond its edges, so
    that it is known to. B 1 H W

    Behind what hides it a field is better free to bring something else.
    """
    beyond = (truth.grid.abs() > 1).any(-1)[:, None]
    return torch.where(beyond, torch.ones_like(truth.visible), truth.visible)


def motions_likelihood(
    field: MotionField, source: Keypoints, driving: Keypoints, truth: Truth, spread: float = 0.02
) -> Tensor:
    """-log sum_k M_k exp(-|T_k(z) - T(z)| / spread), over what the best point would give: each
    visible pixel should belong to a point that moves as it does (the masks M_k of FOMM, eq. 6, as a
    mixture of experts; Jacobs et al., 1991). Unlike the field's own error, it pulls on masks that
    are sure and wrong. Pixels that move count most.
    """
    assert field.contributions is not None
    step = max(1, min(field.size) // ENOUGH)  # of a fine field some rows and columns tell enough
    masks = field.contributions[:, :, ::step, ::step]  # B K+1 h w
    with torch.no_grad():
        grid = MotionField.identity(1, *field.size, like=truth.grid).grid[:, ::step, ::step]
        true = F.interpolate(
            truth.grid.permute(0, 3, 1, 2), field.size, mode="bilinear", align_corners=True
        ).permute(0, 2, 3, 1)
        true = true[:, ::step, ::step]
        offset = grid[:, None] - driving.position[:, :, None, None]  # B K h w 2
        if source.jacobian is not None and driving.jacobian is not None:
            offset = torch.einsum(
                "bkij,bkhwj->bkhwi", source.jacobian @ inverse(driving.jacobian, SINGULAR), offset
            )
        motions = torch.cat(
            [
                grid[:, None].expand(len(masks), -1, -1, -1, -1),
                source.position[:, :, None, None] + offset,
            ],
            dim=1,
        )
        worse = -(motions - true[:, None]).norm(dim=-1) / spread
        worse = worse - worse.amax(1, keepdim=True)
        moving = (true - grid).norm(dim=-1) > spread / 2
        weight = F.interpolate(followed(truth), field.size, mode="area")[:, 0, ::step, ::step] * (
            0.15 + moving
        )
    return masked_mean(-torch.logsumexp(masks.clamp(min=1e-7).log() + worse, 1), weight)


def subject_told(field: MotionField, truth: Truth) -> Tensor:
    """Cross-entropy of the driving frame's subject, as the contributions of all points tell it, and
    how little it overlaps with the truth.

    Also where the source hides what is there, and no flow says which of both it is: what goes
    there, background or more of the subject, depends on it.
    """
    assert field.contributions is not None
    ours = (1 - field.contributions[:, :1]).clamp(1e-5, 1 - 1e-5)
    true = F.interpolate(truth.subject, ours.shape[-2:], mode="area")
    return F.binary_cross_entropy(ours, true) + apart(ours, true)


def occlusion_entropy(field: MotionField, visible: Tensor) -> Tensor:
    """Binary cross-entropy of every occlusion map, hidden and visible pixels counting alike however
    few are hidden. Visible B 1 H W
    """
    total = visible.new_zeros(())
    for level in field.occlusion:
        seen = F.interpolate(visible, level.shape[-2:], mode="area")
        level = level.clamp(1e-5, 1 - 1e-5)
        total = (
            total
            + (masked_mean(-level.log(), seen) + masked_mean(-(1 - level).log(), 1 - seen)) / 2
        )
    return total / max(len(field.occlusion), 1)


def hidden_overlap(field: MotionField, visible: Tensor) -> Tensor:
    """1 - intersection over union of what is called hidden and what is, of the whole batch, softly
    (Rahman and Wang, 2016). Visible B 1 H W
    """
    total = visible.new_zeros(())
    for level in field.occlusion:
        true = 1 - F.interpolate(visible, level.shape[-2:], mode="area")
        total = total + apart(1 - level, true)
    return total / max(len(field.occlusion), 1)


def near_hidden(field: MotionField, truth: Truth, sigma: float = 0.08) -> Tensor:
    """The overlap again, and plain cross-entropy with it, both counting most near joints: what lips
    and lids uncover is a hundredth of all that is hidden, and a generator never learns to paint
    what it is never asked for.
    """
    total = truth.visible.new_zeros(())
    for level in field.occlusion:
        near = near_joints(truth, level.shape[-2], level.shape[-1], sigma)
        seen, level = (
            F.interpolate(truth.visible, level.shape[-2:], mode="area"),
            level.clamp(1e-5, 1 - 1e-5),
        )
        entropy = masked_mean(-(seen * level.log() + (1 - seen) * (1 - level).log()), near)
        total = total + entropy + apart(1 - level, 1 - seen, near)
    return total / max(len(field.occlusion), 1)


def apart(one: Tensor, other: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """1 - intersection over union of two soft masks, summed over the batch."""
    both = (one * other * weight).sum()
    return 1 - (both + 1) / (((one + other) * weight).sum() - both + 1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over what the mask (bool, or weights) marks; 0 where it marks nothing."""
    weight = mask.to(values.dtype).expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
