"""Models whose predictions know how objects move, once that was learned from videos they have taken apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.models.contract import SceneModel, State
    from scenewise.nn.dynamics import Dynamics, Sighting


class FollowsObjects(ABC):
    """A model that tells where the objects in its slots are, and predicts by a network that learned how they move.

    Attributes:
        dynamics: The network; None where settings want none.
    """

    dynamics: Dynamics | None

    @abstractmethod
    def sighting(self, state: State) -> Sighting:
        """Return what the last frame showed of the objects, from the state after it."""


def dynamics_of(model: SceneModel) -> Dynamics:
    """Return the network by which a model predicts how objects move.

    Raises:
        InputError: It has none, by its kind or by its settings.
    """
    if isinstance(model, FollowsObjects) and model.dynamics is not None:
        return model.dynamics
    without = " without windows.dynamics" if isinstance(model, FollowsObjects) else ""
    problem = f"needs a model that learns how objects move; found {model.registered_name}{without}."
    remedy = "Use provide-windows with model.settings.windows.dynamics=96, or leave training.motion out."
    raise InputError("training.motion", problem, remedy)
