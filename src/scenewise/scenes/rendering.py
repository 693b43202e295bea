"""A scene drawn from viewpoints: some views are observed, any others are drawn with masks and how sure the model is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.decompose.clip import as_image
from scenewise.decomposition import as_picture
from scenewise.errors import InputError
from scenewise.media.reader import nearest_pixels
from scenewise.metrics import mean_iou, squared_error
from scenewise.models.contract import Renders, SceneModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.contract import Source
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decomposition import Decomposition
    from scenewise.variational.gaussian import Gaussian

SAMPLES = 20
"""Posterior samples behind a map of uncertainty (mulmon.md 6)."""
UNCERTAINTY_RANGE = (-6.0, -2.0)
"""Colour range of maps of uncertainty: log10 of a variance."""
TURN = 72
"""Viewpoints of a turn around the scene (mulmon.md 6)."""
_FLOOR = 1e-6
_ON_RING = 1e-3


@dataclass(frozen=True)
class Scene:
    """The views of one scene.

    Attributes:
        name: For titles.
        frames: uint8, shape (V, H, W, C), of the model's size.
        viewpoints: Float32, shape (V, D).
        ids: Shape (V, H, W), or None.
        background_ids: The true ids that are background.
        source_size: (H, W) of the views before they were scaled.
    """

    name: str
    frames: np.ndarray
    viewpoints: np.ndarray
    ids: np.ndarray | None
    background_ids: tuple[int, ...]
    source_size: tuple[int, int]

    @property
    def tensor(self) -> torch.Tensor:
        """Frames in [0, 1], shape (V, C, H, W)."""
        return torch.from_numpy(self.frames).movedim(-1, 1).float() / 255


@dataclass(frozen=True)
class DrawnViews:
    """Q viewpoints as the posterior's mean draws them, as plain arrays.

    Attributes:
        images: Float32, not clipped, shape (Q, H, W, C).
        labels: The slot that owns each pixel, shape (Q, H, W).
        masks: Shape (Q, K, H, W), sums to 1 over K.
        appearance: Shape (Q, K, H, W, C).
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    appearance: np.ndarray

    @property
    def pictures(self) -> np.ndarray:
        """Images as uint8, shape (Q, H, W, 3)."""
        return as_picture(self.images)


@dataclass(frozen=True)
class Rendering:
    """What a model draws of a scene.

    Attributes:
        scene: The scene.
        observed: The views that were observed, in their order.
        queried: The views that are drawn.
        views: The drawn views.
        uncertainty: log10 of the variance over samples, summed over channels, plus 1e-6; shape (Q, H, W).
        mean: The posterior's, shape (K, Z).
        std: The posterior's, shape (K, Z).
        turn: A turn around the scene, None where its viewpoints are not on a ring.
        turn_viewpoints: Its viewpoints, shape (72, D), or (0, D).
    """

    scene: Scene
    observed: tuple[int, ...]
    queried: tuple[int, ...]
    views: DrawnViews
    uncertainty: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    turn: DrawnViews | None
    turn_viewpoints: np.ndarray

    def scores(self) -> list[dict[str, Any]]:
        """Return one row per queried view: `view`, `observed`, `rmse` (summed over channels) and `miou` (or None)."""
        queried = list(self.queried)
        truth = self.scene.tensor.numpy()[queried]
        errors = np.sqrt(squared_error(np.moveaxis(self.views.images, -1, 1), truth, "vector"))
        fits: list[float | None] = [None] * len(queried)
        if self.scene.ids is not None:
            pair = (self.views.labels, self.scene.ids[queried])
            each = mean_iou(*pair, background_ids=self.scene.background_ids).each
            fits = [float(value) if np.isfinite(value) else None for value in each]
        observed = [view in self.observed for view in queried]
        rows = zip(queried, observed, errors.tolist(), fits, strict=True)
        return [dict(zip(("view", "observed", "rmse", "miou"), row, strict=True)) for row in rows]


def open_scene(source: Source, index: int, name: str, model: SceneModel) -> Scene:
    """Read one scene, at the model's size.

    Args:
        source: Of scenes whose viewpoints are known.
        index: Which.
        name: For titles.
        model: Who is to draw it.

    Raises:
        InputError: The source does not know its viewpoints, or has no such scene.
    """
    if not 0 <= index < len(source):
        raise InputError(
            name, f"the source has scenes 0 to {len(source) - 1}; found {index}.", "Give a smaller number."
        )
    viewpoints = source.viewpoints(index)
    sample = source.sample(index)
    own = np.moveaxis(sample.frames, 1, -1)  # (V, H, W, C)
    frames = np.stack([as_image(frame, model.frame_shape, resize=True) for frame in own])
    size = (int(own.shape[1]), int(own.shape[2]))
    ids = None if sample.ids is None else nearest_pixels(np.asarray(sample.ids), model.frame_shape[1:])
    return Scene(name, frames, np.asarray(viewpoints, np.float32), ids, source.facts.background_ids, size)


@torch.no_grad()
def render_scene(
    decomposer: Decomposer,
    scene: Scene,
    observed: Sequence[int],
    queried: Sequence[int] | None = None,
    *,
    slots: int | None = None,
    refinements: int | None = None,
    seed: int = 0,
) -> Rendering:
    """Observe some views of a scene and draw others.

    Args:
        decomposer: A model that draws scenes from viewpoints.
        scene: The scene.
        observed: Views to observe, from 0, in this order.
        queried: Views to draw; all where None.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        seed: Seed of the posterior noise.

    Raises:
        InputError: The model cannot do it, its viewpoints are others, or there is no such view.
    """
    model = drawing_model(decomposer)
    every = range(len(scene.frames))
    inputs = checked_views(observed, scene, "--observe")
    queries = checked_views(every if queried is None else queried, scene, "--query")
    device = decomposer.device
    cameras = torch.from_numpy(scene.viewpoints).to(device).unsqueeze(0)
    frames = scene.tensor[list(inputs)].to(device).unsqueeze(0)
    posterior = model.infer(frames, cameras[:, list(inputs)], slots, refinements, seed)
    turn = turn_viewpoints(scene.viewpoints, inputs[0])
    around = torch.from_numpy(turn).to(device).unsqueeze(0)
    return Rendering(
        scene=scene,
        observed=inputs,
        queried=queries,
        views=_views(model.render(posterior, cameras[:, list(queries)], None)),
        uncertainty=_uncertainty(model, posterior, cameras[:, list(queries)], seed),
        mean=posterior.mean[0].cpu().numpy(),
        std=(0.5 * posterior.log_variance[0]).exp().cpu().numpy(),
        turn=_views(model.render(posterior, around, None)) if len(turn) else None,
        turn_viewpoints=turn,
    )


def drawing_model(decomposer: Decomposer) -> Renders:
    """Return the model.

    Raises:
        InputError: It does not draw scenes from viewpoints.
    """
    model = decomposer.model
    if not isinstance(model, Renders):
        kind = getattr(model, "registered_name", type(model).__name__)
        problem = f"is a {kind}, which does not draw scenes from viewpoints."
        raise InputError(decomposer.name, problem, "Use a model that does, such as one trained by mulmon-cle-mv.")
    return model


def checked_views(views: Sequence[int], scene: Scene, option: str) -> tuple[int, ...]:
    """Return numbers of views.

    Raises:
        InputError: There are none, one is out of range, or one is named twice.
    """
    count = len(scene.frames)
    wrong = [view for view in views if not 0 <= view < count]
    if wrong or not views:
        problem = f"{scene.name} has views 0 to {count - 1}; found {wrong[0] if wrong else 'none'}."
        raise InputError(option, problem)
    if len(set(views)) != len(views):
        raise InputError(option, f"names a view twice: {', '.join(map(str, views))}.", "Name each view once.")
    return tuple(int(view) for view in views)


def turn_viewpoints(viewpoints: np.ndarray, start: int) -> np.ndarray:
    """Return the viewpoints of a whole turn from view `start` on, (72, 3), or none where they lie on no ring.

    MulMON's viewpoints are directions on the ground less (1, 0, 0): on the ring of radius 1 around (-1, 0, 0).
    """
    directions = viewpoints + np.array([1.0, 0.0, 0.0], np.float32) if viewpoints.shape[1] == 3 else None
    if directions is None:
        return np.zeros((0, viewpoints.shape[1]), np.float32)
    away = np.abs(np.linalg.norm(directions[:, :2], axis=1) - 1).max() + np.abs(directions[:, 2]).max()
    if away > _ON_RING:
        return np.zeros((0, 3), np.float32)
    begin = np.arctan2(directions[start, 1], directions[start, 0])
    angles = begin + 2 * np.pi * np.arange(TURN) / TURN
    return np.stack([np.cos(angles) - 1, np.sin(angles), np.zeros(TURN)], 1).astype(np.float32)


def _views(part: Decomposition) -> DrawnViews:
    return DrawnViews(
        images=part.reconstruction[0].movedim(1, -1).cpu().numpy(),
        labels=part.labels[0].cpu().numpy(),
        masks=part.masks[0, :, :, 0].cpu().numpy(),
        appearance=part.appearance[0].movedim(2, -1).cpu().numpy(),
    )


def _uncertainty(model: Renders, posterior: Gaussian, cameras: torch.Tensor, seed: int) -> np.ndarray:
    images = torch.stack([model.render(posterior, cameras, seed + i).reconstruction[0] for i in range(SAMPLES)])
    variance = images.var(0, correction=1).sum(1)  # (Q, H, W)
    return (variance + _FLOOR).log10().cpu().numpy()
