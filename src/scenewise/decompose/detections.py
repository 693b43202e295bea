"""What was found in a video as the library supervision has it, which is imported only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from scenewise.errors import InputError
from scenewise.media import mask_box
from scenewise.media.annotations import Placement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervision import Detections

    from scenewise.decompose.verdict import Evidence
    from scenewise.decomposition import FrameResult


class VideoDetections(Sequence["Detections"]):
    """One `supervision.Detections` per frame, made when it is asked for: only labels are held.

    Boxes, masks and areas are in pixels of the source, counted from 0, so that supervision's annotators draw them on
    its frames. `tracker_id` is the object's number in all files, from 1; `confidence` its mean mask over the pixels it
    owns; `class_id` is 0 and `data["class_name"]` "object". Background and what the verdict does not call an object
    are left out.

    Args:
        frames: The frames; what is an object is known after the last.
        evidence: Judges them.
        placement: Where they lie in the source.

    Raises:
        InputError: supervision is not installed.
    """

    def __init__(self, frames: Iterable[FrameResult], evidence: Evidence, placement: Placement) -> None:
        try:
            import supervision
        except ImportError:
            raise InputError("supervision", "is not installed.", "Run: pip install supervision") from None
        self._make = supervision.Detections
        self._placement = placement
        self._frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for frame in frames:
            evidence.add(frame)
            self._frames.append((frame.labels, frame.mean_masks, frame.track_ids))
        self._is_object = np.array([role == "object" for role in evidence.verdict().roles], bool)

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, place: int) -> Detections: ...
    @overload
    def __getitem__(self, place: slice) -> list[Detections]: ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return the detections of a frame, or of several."""
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        labels, trust, track_ids = self._frames[place]
        masks, boxes, slots = [], [], []
        for k in np.flatnonzero(self._is_object).tolist():
            mask = self._placement.paint(labels == k)
            box = mask_box(mask)
            if box is not None:
                left, top, width, height = box
                boxes.append((left, top, left + width, top + height))
                masks.append(mask)
                slots.append(k)
        if not slots:
            return self._make.empty()
        return self._make(
            xyxy=np.array(boxes, np.float32),
            mask=np.stack(masks),
            confidence=trust[slots].astype(np.float32),
            class_id=np.zeros(len(slots), int),
            tracker_id=track_ids[slots].astype(int),
            data={"class_name": np.array(["object"] * len(slots))},
        )
