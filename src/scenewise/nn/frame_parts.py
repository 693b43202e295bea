"""Connected parts of one frame that its background does not explain, and whose objects they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from scenewise.nn.looks import ALIKE, BANDS, Fit, likeness
from scenewise.nn.masks import SQUARE, grown
from scenewise.nn.windows import covered

if TYPE_CHECKING:
    from collections.abc import Sequence

GROWTH = 1.3
"""Times its usual area, below which a part holds nothing new."""

NEAR = 2
"""Pixels from what a slot owns that still count as its own."""

_CLEAR_PIXELS = 0.15  # of a part must differ clearly
_SAME_SIZE = (0.5, 2.0)  # area of a part over that of a slot, where the part can be all of its object
_OWN_SHARE = 0.5  # of a slot's pixels in a part, where the part can be its object
_NEW_SHARE = 0.4  # of the owned area of a part that what nobody owns must have to be an object of its own
_LEFT = 0.25  # of a slot's pixels that are still strange, below which its object has gone
_ACROSS = 0.15  # of a slot's pixels that may lie beyond the edge of its part where another begins
_REACH = 1.5  # sides of a part over which a slot looks for its object
_SAME_COLOUR = 0.3  # of [0, 1]
_SAME_SIDES = (0.75, 1.35)  # sides of a piece of a part over those of another object, where it is one of its kind
_STAYS = 0.8  # of a slot's pixels that are still in its part where its object has hardly moved
_ONE_MORE = 0.5  # of a known object's usual area that must look like it, where a part holds one more of its kind
_EMERGED = 0.4  # of an object's usual area that shows when it comes out from behind another
_PATIENCE = 2  # frames in one part after which two slots that were never apart may hold one object


@dataclass(frozen=True)
class Limits:
    """What makes a part.

    Attributes:
        strange: How much its pixels differ from the background.
        clear: How much at least 15 % of them do.
        area: Its least area, pixels.
        step: Difference of colour between neighbours at which it ends; 0 where it may be of many colours.
        hues: The same of hues, beside which, and beside `step`, the cores of two objects end (`nn.cores`); 0 where it
            may be of many.
        necks: Share of its width on both sides of a narrower place at which it ends (`nn.necks`); 0 at none.
        most: Its largest area, pixels; a larger one is cut.
    """

    strange: float
    clear: float
    area: float
    step: float = 0.0
    hues: float = 0.0
    necks: float = 0.0
    most: float = math.inf

    @property
    def touching(self) -> bool:
        """Whether parts end where others begin, by their colours or shapes."""
        return max(self.step, self.hues, self.necks) > 0


@dataclass(frozen=True)
class Part:
    """A part of one frame.

    Attributes:
        rows: Where it lies.
        columns: Where it lies.
        area: Pixels.
        colour: Mean difference from the background, shape (C,).
        number: Of the connected part it belongs to.
        mass: Mean row and column of its pixels.
        look: Mean differences from the background in bands from the top, shape (3 C,).
        kind: Slot whose object it is one more of, 0 where that is not known.
    """

    rows: slice
    columns: slice
    area: int
    colour: np.ndarray
    number: int
    mass: tuple[float, float]
    look: np.ndarray
    kind: int = 0

    @property
    def centre(self) -> np.ndarray:
        """Row and column."""
        return np.array([self.rows.start + self.rows.stop - 1, self.columns.start + self.columns.stop - 1]) / 2

    @property
    def side(self) -> int:
        """The longer side of its box, pixels."""
        return max(self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of its box."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def box_area(self) -> int:
        """Pixels of its box."""
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)

    @property
    def mean_of_bands(self) -> np.ndarray:
        """Mean of its bands' differences from the background, shape (C,)."""
        colour: np.ndarray = self.look.reshape(BANDS, -1).mean(0)
        return colour

    def of_colour(self, last: np.ndarray, usual: np.ndarray | None) -> bool:
        """Return whether it has the colour (C,) that an object was last seen with, and the one that it usually has."""
        far = float(np.abs(self.colour - last).max())
        if usual is None:
            return far < (ALIKE if self.kind else _SAME_COLOUR)
        return max(far, float(np.abs(self.mean_of_bands - usual).max())) < ALIKE

    def at_border(self, size: Sequence[int]) -> tuple[bool, bool]:
        """Return whether it lies at the upper or lower border of a frame (H, W), and whether at the left or right."""
        rows, columns = self.rows, self.columns
        return rows.start == 0 or rows.stop == size[0], columns.start == 0 or columns.stop == size[1]

    def touches(self, size: Sequence[int]) -> bool:
        """Return whether it lies at the border of a frame (H, W), where more of it may come in."""
        return any(self.at_border(size))

    def middle(self, height: int, width: int) -> np.ndarray:
        """Return where its pixels are in the mean, x and y in units of a window."""
        return np.array([2 * self.mass[1] / max(width - 1, 1) - 1, 2 * self.mass[0] / max(height - 1, 1) - 1])

    def window(self, height: int, width: int) -> list[float]:
        """Return (x, y, log half width, log half height)."""
        return _window(self.rows, self.columns, height, width)


def _window(rows: slice, columns: slice, height: int, width: int) -> list[float]:
    sides = ((columns, width), (rows, height))
    centre = [(side.start + side.stop - 1) / max(n - 1, 1) - 1 for side, n in sides]
    return centre + [math.log((side.stop - side.start) / n) for side, n in sides]


@dataclass(frozen=True)
class FrameParts:
    """The parts of one frame.

    Attributes:
        strange: How much each pixel differs from the background, shape (H, W).
        difference: Frame minus background, shape (C, H, W).
        owner: Slot that owned each pixel in the last frame, 0 for none, shape (H, W).
        labels: Number of each pixel's connected part, 0 for none, shape (H, W).
        near: Whether a pixel lies near owned ones, shape (H, W).
        limits: What makes a part.
    """

    strange: np.ndarray
    difference: np.ndarray
    owner: np.ndarray
    labels: np.ndarray
    near: np.ndarray
    limits: Limits

    @cached_property
    def boxes(self) -> list[tuple[slice, slice]]:
        """Rows and columns of the boxes about the parts, the first part's first."""
        boxes: list[tuple[slice, slice]] = ndimage.find_objects(self.labels)
        return boxes

    @property
    def whole(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        height, width = self.labels.shape
        return slice(0, height), slice(0, width)

    def border_parts(self) -> np.ndarray:
        """Return the numbers of the parts at the border of the frame."""
        numbers = np.unique(np.concatenate([*self.labels[[0, -1]], *self.labels[:, [0, -1]].T]))
        return numbers[numbers > 0]

    def part_of_slots(self, slots: int) -> np.ndarray:
        """Return the number of the part in which each slot owns most, 0 where that is little of its own, shape (K,)."""
        count = int(self.labels.max()) + 1
        owned = np.bincount((self.owner * count + self.labels).ravel(), minlength=slots * count).reshape(slots, count)
        areas, owned[:, 0], owned[0] = owned.sum(1), 0, 0
        return np.where(owned.max(1) > _LEFT * areas, owned.argmax(1), 0)

    def merge(self, colours: np.ndarray, together: np.ndarray, settled: np.ndarray) -> dict[int, int]:
        """Return slots that hold an object with another slot, each with the slot that takes over its pixels.

        Args:
            colours: Of all slots, shape (K, C).
            together: Frames in which they were in one part, -1 once they were in two, shape (K, K).
            settled: Slots whose objects were alone long enough: these are no piece of another, bool, shape (K,).
        """
        areas, parts = np.bincount(self.owner.ravel(), minlength=len(colours)), self.part_of_slots(len(colours))
        heirs: dict[int, int] = {}
        for slot in np.argsort(areas[1:], kind="stable") + 1:  # the smallest first
            others = (parts == parts[slot]) & (together[slot] >= _PATIENCE) & (areas >= areas[slot])
            others &= np.abs(colours - colours[slot]).max(1) < ALIKE
            others[[0, slot, *heirs]] = False
            if parts[slot] and others.any() and not settled[slot]:
                heirs[int(slot)] = int(np.where(others, areas, 0).argmax())
        return heirs

    def parts_behind(self, waits: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the part in which each slot that waits should be by its place (K, 4), 0 for none, shape (K,)."""
        size, parts = np.array(self.labels.shape), np.zeros(len(waits), np.int64)
        for slot in np.flatnonzero(waits):
            row, column = np.rint((places[slot, 1::-1] + 1) / 2 * (size - 1)).astype(int)
            if 0 <= row < size[0] and 0 <= column < size[1]:
                parts[slot] = self.labels[row, column]
        return parts

    def window_of(self, number: int) -> np.ndarray:
        """Return the window about a part; where parts may touch, it goes on beyond the borders that the part is at."""
        box, beyond = self.boxes[number - 1], int(self.limits.touching)
        rows, columns = (
            slice(side.start - beyond * n * (side.start == 0), side.stop + beyond * n * (side.stop == n))
            for side, n in zip(box, self.labels.shape, strict=True)
        )
        return np.array(_window(rows, columns, *self.labels.shape))

    def emerging(
        self, hidden: np.ndarray, places: np.ndarray, extents: np.ndarray, colours: np.ndarray
    ) -> dict[int, Part]:
        """Return, by slot, what shows of objects that are hidden: enough where they should be, and nobody's.

        Args:
            hidden: Part in which the object of each slot is, 0 for none, shape (K,).
            places: Where all objects should be, windows (K, 4).
            extents: Usual areas of their parts, shape (K,).
            colours: Their colours, shape (K, C), from which what shows is not far.
        """
        slots, shown = np.flatnonzero(hidden), {}
        if len(slots):
            free = ~grown(self.owner > 0, NEAR)
            for slot, window in zip(
                slots, covered(torch.from_numpy(places[slots]), self.labels.shape).numpy(), strict=True
            ):
                inside = window & free & (self.labels == hidden[slot])
                if np.count_nonzero(inside) >= max(self.limits.area, _EMERGED * extents[slot]):
                    part = self._part(inside, self.whole)
                    if np.abs(part.colour - colours[slot]).max() < ALIKE:
                        shown[int(slot)] = part
        return shown

    def assign(
        self, colours: np.ndarray, extents: np.ndarray, absent: np.ndarray, settled: np.ndarray, hidden: np.ndarray
    ) -> tuple[dict[int, Part], list[Part]]:
        """Return the parts that are the objects of slots, by slot, and those that are nobody's.

        Args:
            colours: Of all slots, shape (K, C).
            extents: Usual areas of their parts, shape (K,); those of parts at the border grow with them.
            absent: The same of objects that may be hidden in each part, by its number.
            settled: Slots of whose objects it is known what they are usually like, bool, shape (K,).
            hidden: Part in which such an object is hidden, 0 for none, shape (K,).
        """
        slots = len(colours)
        areas = np.bincount(self.owner.ravel(), minlength=slots)
        edge = np.ones_like(self.owner, bool)
        edge[1:-1, 1:-1] = False
        moves: dict[int, Part] = {}
        new: list[Part] = []
        for number, box in enumerate(self.boxes, 1):
            inside = self.labels[box] == number
            owned = np.bincount(self.owner[box][inside], minlength=slots)
            owned[0] = 0
            if self.limits.touching:  # what a neighbour owns across the edge tells nothing
                owned[owned < _ACROSS * areas] = 0
            slot, area = int(owned.argmax()), int(inside.sum())
            if not owned.any():
                new += self._lawful(inside, box)
                continue
            holders = owned > _LEFT * areas
            if (
                edge[box][inside].any() and holders.any() and not (holders & settled).any()
            ):  # more of its objects comes in
                extents[holders] *= max(1.0, area / max(float(extents[holders].sum()), 1.0))
            usual = area < GROWTH * (extents[holders].sum() + absent[number] * holders.any())
            pieces = [] if usual else self._lawful_pieces(inside & ~self.near[box], box)
            pieces = [part for part in pieces if part.area >= _NEW_SHARE * owned.sum()]
            single = owned[slot] == owned.sum() > _OWN_SHARE * areas[slot]
            single &= not (settled[slot] and number in hidden and area >= GROWTH * extents[slot])
            if single and (usual or _SAME_SIZE[0] < area / areas[slot] < _SAME_SIZE[1]):
                grows = owned[slot] < _STAYS * areas[slot] or bool(edge[self.owner == slot].any())  # moves, or comes in
                pieces = [part for part in pieces if not grows and np.abs(part.colour - colours[slot]).max() > ALIKE]
                if not pieces:
                    moves[slot] = self._part(inside, box)
            new += pieces
        return moves, new

    def split(
        self,
        moves: dict[int, Part],
        new: list[Part],
        kinds: dict[int, tuple[np.ndarray, np.ndarray]],
        extents: np.ndarray,
        settled: np.ndarray,
        looks: np.ndarray,
    ) -> tuple[dict[int, Part], list[Part]]:
        """Take parts apart that hold one more of a kind of object, and something of another colour.

        Args:
            moves: Parts that are the objects of slots.
            new: Parts that are nobody's.
            kinds: Windows and colours of objects that are known, by slot.
            extents: Usual areas of the parts of slots, shape (K,); nothing has come to a part of its usual area.
            settled: Slots whose usual areas hold at the border of the frame too, bool, shape (K,).
            looks: Of the objects of these, shape (K, 3 C); see `Part.look`.
        """
        height, width = self.labels.shape
        boxes = {slot: (np.exp(window[3]) * height, np.exp(window[2]) * width) for slot, (window, _) in kinds.items()}
        known = [(slot, boxes[slot], colour) for slot, (_, colour) in kinds.items()]
        fresh = [(part, part.sides, part.colour) for part in new]
        after, rest = dict(moves), []
        for slot, part in [*moves.items(), *((0, part) for part in new)]:
            usual = slot and part.area < GROWTH * extents[slot]
            if usual and (settled[slot] or not part.touches(self.labels.shape)):
                continue
            likes = [
                (sides, colour, who if isinstance(who, int) else 0)
                for who, sides, colour in [*known, *fresh]
                if who is not part and who != slot
            ]
            seen = (k for k in kinds if settled[k] and k != slot)
            by_looks = (self._pieces_by_look(part, k, kinds[k][0], looks[k], float(extents[k])) for k in seen)
            by_colours = (self._pieces(part, *like) for like in likes)
            pieces = next(filter(None, (*by_looks, *by_colours)), [part])
            if slot:
                own = [int((self.owner[p.rows, p.columns] == slot).sum()) / p.box_area for p in pieces]
                after[slot] = pieces.pop(int(np.argmax(own)))
            rest += pieces
        return after, rest

    def _pieces_by_look(self, part: Part, kind: int, window: np.ndarray, look: np.ndarray, usual: float) -> list[Part]:
        """Return what of a part looks like a slot's object, wherever that is in it, and what is left; or nothing."""
        if part.area < GROWTH * usual:
            return []
        inside = self.labels == part.number
        fit = Fit.of(
            self.difference, inside, np.array([*part.window(*inside.shape)[:2], *window[2:]]), look, near=False
        )
        if fit.there < _ONE_MORE * usual:
            return []
        box = covered(torch.from_numpy(np.array([[*fit.centre, *window[2:]]])), inside.shape)[0].numpy()
        one = self.largest(inside & box & (likeness(self.difference, look).max(0) > 0))
        if one is None or one.area < _NEW_SHARE * part.area:  # a small piece is rather one of a larger thing
            return []
        others = self._lawful_pieces(inside & ~grown(box & inside), self.whole)
        others = [piece for piece in others if np.abs(piece.colour - one.colour).max() > ALIKE]
        return [replace(one, kind=kind), *others] if others else []

    def _pieces(self, part: Part, sides: tuple[float, float], colour: np.ndarray, kind: int) -> list[Part]:
        """Return what of a part is like an object with such sides (rows, columns), and what is left; or nothing."""
        if any(a / b <= _SAME_SIDES[0] for a, b in zip(part.sides, sides, strict=True)):
            return []  # too small to hold one
        box = (part.rows, part.columns)
        inside = self.labels[box] == part.number
        like = inside & (np.abs(self.difference[:, *box] - colour[:, None, None]).max(0) < ALIKE)
        if not like.any():
            return []
        labels, _ = ndimage.label(like, SQUARE[1])
        main = grown(labels == np.bincount(labels[like]).argmax()) & inside
        rest = inside & ~grown(main)
        if np.count_nonzero(rest) < self.limits.area:
            return []
        one = self._lawful(main, box)
        if not one or not all(
            _SAME_SIDES[0] < a / b < _SAME_SIDES[1] for a, b in zip(one[0].sides, sides, strict=True)
        ):
            return []
        others = self._lawful_pieces(rest, box)
        others = [piece for piece in others if np.abs(piece.colour - one[0].colour).max() > ALIKE]
        return [replace(one[0], kind=kind), *others] if others else []

    def shows_background(self, slot: int) -> bool:
        """Return whether a slot's pixels show the background again."""
        pixels = self.owner == slot
        return bool(pixels.any()) and float((self.labels[pixels] > 0).mean()) <= _LEFT

    def claims(
        self,
        new: list[Part],
        slots: Sequence[int],
        windows: np.ndarray,
        colours: np.ndarray,
        usual: np.ndarray,
        settled: np.ndarray,
        any_colour: bool = False,
    ) -> dict[int, Part]:
        """Return new parts that are the objects of slots that look for theirs, and take them out.

        Args:
            new: Parts that are nobody's.
            slots: Who looks.
            windows: Where all slots saw their objects last, shape (K, 4).
            colours: Their colours when they were seen last, shape (K, C).
            usual: The ones they usually have, (K, C): the last one may be that of a neighbour in one part with them.
            settled: Slots of which that is known, bool, shape (K,).
            any_colour: Take parts inside the frame of whatever colour: what comes out of a part in which an object is
                hidden is that object, or it was the other one that was seen.
        """
        sides = np.array(self.labels.shape)
        claims: dict[int, Part] = {}
        for slot in slots:
            place = (windows[slot, 1::-1] + 1) / 2 * (sides - 1)
            size = np.exp(windows[slot, 3:1:-1]) * sides
            near = [
                (float(np.abs(part.centre - place).max()) / part.side, index)
                for index, part in enumerate(new)
                if (
                    part.of_colour(colours[slot], usual[slot] if settled[slot] else None)
                    or (any_colour and not part.touches(self.labels.shape))
                )
                and _SAME_SIZE[0] < part.box_area / size.prod() < _SAME_SIZE[1]
            ]
            if near and min(near)[0] < _REACH:
                claims[slot] = new.pop(min(near)[1])
        return claims

    def largest(self, pixels: np.ndarray) -> Part | None:
        """Return the largest connected piece of some pixels (H, W), None where none makes a part."""
        return max(self._lawful_pieces(pixels, self.whole), key=lambda piece: piece.area, default=None)

    def _lawful_pieces(self, inside: np.ndarray, box: tuple[slice, slice]) -> list[Part]:
        """Return the connected pieces of some pixels in a box that are large and clear enough to be parts."""
        if np.count_nonzero(inside) < self.limits.area:
            return []
        labels, count = ndimage.label(inside, SQUARE[1])
        return [part for number in range(1, count + 1) for part in self._lawful(labels == number, box)]

    def _lawful(self, inside: np.ndarray, box: tuple[slice, slice]) -> list[Part]:
        """Return a part if it is large and clear enough, as a list of one or none."""
        area = np.count_nonzero(inside)
        if area < self.limits.area:
            return []
        clear = np.count_nonzero(inside & (self.strange[box] > self.limits.clear))
        return [self._part(inside, box)] if clear >= max(2, _CLEAR_PIXELS * area) else []

    def _part(self, inside: np.ndarray, box: tuple[slice, slice]) -> Part:
        """Return the part of some pixels in a box."""
        rows, columns = np.nonzero(inside)
        colours = self.difference[:, *box][:, inside]
        colour, first, last = colours.mean(1), rows[0], rows[-1]
        left_most, right_most = columns.min(), columns.max()
        band = (rows - first) * BANDS // (last - first + 1)
        bands = [colours[:, band == n] for n in range(BANDS)]
        look = np.concatenate([each.mean(1) if each.shape[1] else colour for each in bands])
        top, left = box[0].start, box[1].start
        return Part(
            slice(top + int(first), top + int(last) + 1),
            slice(left + int(left_most), left + int(right_most) + 1),
            len(rows),
            colour,
            int(self.labels[box][rows[0], columns[0]]),
            (top + float(rows.mean()), left + float(columns.mean())),
            look,
        )
