"""What is known of a page before its model is there: importing torch takes longer than all the rest of opening it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenewise.media.pixels import to_rgb
from scenewise.report.tiles import photograph
from scenewise.viewer.messages import Answer
from scenewise.viewer.start import first_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.media.reader import VideoReader
    from scenewise.viewer.desk import Desk

LONGEST_SIDE = 640
"""Pixels of the longer side of pictures of the source at most."""


class Opening:
    """A page whose desk comes later.

    Args:
        title: Heading of the page until the desk is there.
        open_desk: Returns the desk; called once.
        video: What is looked at, for a picture of the source meanwhile; None where that needs the model.
    """

    def __init__(self, title: str, open_desk: Callable[[], Desk], video: VideoReader | None = None) -> None:
        self.title, self.video = title, video
        self._open = open_desk
        self._desk: Desk | None = None
        self._error: BaseException | None = None

    def desk(self) -> Desk:
        """Return the desk, opened by whoever asks first, in the thread that owns the model.

        Raises:
            InputError: It cannot be opened; said again to everyone who asks.
        """
        if self._error is not None:
            raise self._error
        if self._desk is None:
            try:
                self._desk = self._open()
            except BaseException as error:
                self._error = error
                raise
        return self._desk

    def answer(self, request: dict[str, Any]) -> Answer:
        """Answer a request for which the model is needed; see `Desk.answer`."""
        return self.desk().answer(request)

    def glance(self, request: dict[str, Any]) -> Answer:
        """Tell whether the model is there already, and else what the source shows, for which no model is needed."""
        if self._desk is not None or self._error is not None or self.video is None:
            return Answer({"loading": False})
        video = self.video
        number = first_frame(video.length_hint)
        height, width = video.crop[2:] if video.crop is not None else video.source_size
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        facts = {"loading": True, "number": number, "frames": video.length_hint, "aspect": width / max(1, height)}
        pictures = [photograph(to_rgb(frame.image)) for frame in video.part(number, 1, size)]
        return Answer(facts, {}, {"source": pictures[0]} if pictures else {})
