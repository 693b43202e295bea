"""Models that look at a frame before tensors of fixed shapes explain it, and once more after: which slots there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import State


class Stages(ABC):
    """A model that explains a frame in three stages, of which the middle one can run as a graph.

    What a frame shows decides which slots hold objects (first stage), and what they explain of it which of them go on
    (third). Between these stages are the decodes and refinements: operations that depend on shapes alone.

    It goes before `SceneModel` among a model's bases.

    Class attributes:
        sized_by: Name of the entry of an opened state by whose length `roundings` differ.
    """

    sized_by: ClassVar[str]

    @abstractmethod
    def open_frame(self, frame: Tensor, state: State) -> State:
        """Return the state with what the model first sees in a frame (B, C, H, W), entries of this frame among it."""

    @abstractmethod
    def roundings(self, opened: State) -> Iterator[State]:
        """Yield an opened state in few shapes, the smallest that do first; results are the same by all of them.

        A graph is made for one shape: the fewer there are, the fewer graphs.
        """

    @abstractmethod
    def explain_opened(
        self, frame: Tensor, opened: State, refinements: int | None = None
    ) -> tuple[Decomposition, State]:
        """Explain a frame that was opened, by operations that depend on nothing but shapes and `frame_form`.

        Args:
            frame: Shape (B, C, H, W).
            opened: What `open_frame` returned, or `roundings` yielded.
            refinements: R; the settings' value where None.

        Returns:
            A decomposition with T = 1, and the state with what `close_frame` takes.
        """

    @abstractmethod
    def close_frame(
        self, frame: Tensor, part: Decomposition, opened: State, after: State
    ) -> tuple[Decomposition, State]:
        """Return what a frame shows, and the state for the next one.

        Args:
            frame: Shape (B, C, H, W).
            part: What `explain_opened` returned.
            opened: What it was given.
            after: The state that it returned.
        """

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.explain_frame`."""
        opened = self.open_frame(frame, state)
        part, after = self.explain_opened(frame, opened, refinements)
        return self.close_frame(frame, part, opened, after)
