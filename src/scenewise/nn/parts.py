"""First guesses of objects, made without learning: connected parts of a frame that its background does not explain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage, sparse
from torch import Tensor

from scenewise.nn.cores import of_like_hues
from scenewise.nn.masks import SQUARE, grown

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIKE = 0.15
"""Of [0, 1]: colours of two slots, or of a pixel and a slot, that may be of one object differ by less."""

_APART = 2  # pixels from what a slot owns that still count as its own
_CLEAR_PIXELS = 0.15  # of a part must differ clearly
_SAME_SIZE = (0.5, 2.0)  # area of a part over that of a slot, where the part can be all of its object
_OWN_SHARE = 0.5  # of a slot's pixels in a part, where the part can be its object
_NEW_SHARE = 0.4  # of the owned area of a part that what nobody owns must have to be an object of its own
_LEFT = 0.25  # of a slot's pixels that are still strange, below which its object has gone
_REACH = 1.5  # sides of a part over which a slot looks for its object
_SAME_COLOUR = 0.3  # of [0, 1]
_SAME_SIDES = (0.75, 1.35)  # sides of a piece of a part over those of another object, where it is one of its kind
_STAYS = 0.8  # of a slot's pixels that are still in its part where its object has hardly moved
_GROWTH = 1.3  # times its usual area, below which a part holds nothing new
_SLOWLY = 0.1  # share by which the usual area of a part follows it
_PATIENCE = 2  # frames in one part after which two slots that were never apart may hold one object


@dataclass(frozen=True)
class Limits:
    """What makes a part.

    Attributes:
        strange: How much its pixels differ from the background.
        clear: How much at least 15 % of them do.
        area: Its least area, pixels.
        step: Difference of colour between neighbours at which it ends; 0 where it may be of many colours.
        hues: The same of hues, beside which the cores of two objects end (`nn.cores`); 0 where it may be of many.
    """

    strange: float
    clear: float
    area: float
    step: float = 0.0
    hues: float = 0.0


@dataclass(frozen=True)
class Guess:
    """Where slots should look in B frames.

    Attributes:
        windows: Boxes as windows (see `nn.windows`), shape (B, K, 4).
        colours: Mean difference from the background there, shape (B, K, C).
        moves: Slots that hold an object, and whose object is the part in `windows`, bool, shape (B, K).
        returns: Slots that were off, and whose object of before it is, bool, shape (B, K).
        births: Slots that were off, and now have a part of their own, bool, shape (B, K).
        heirs: Slots that hold an object, and take over the pixels of another slot, bool, shape (B, K).
        ends: Slots whose pixels another slot takes over, bool, shape (B, K).
        parts: Number of the connected part of each slot's object in its frame, 0 for none, int64, shape (B, K).
        extents: Usual area of the part of each slot's object, pixels, shape (B, K).
        entering: Slots whose part lies at the border of the frame, bool, shape (B, K).
    """

    windows: Tensor
    colours: Tensor
    moves: Tensor
    returns: Tensor
    births: Tensor
    heirs: Tensor
    ends: Tensor
    parts: Tensor
    extents: Tensor
    entering: Tensor

    def joined(self, frames: Tensor) -> Tensor:
        """Return for how many frames two slots were in one part, -1 once they were in two, int64, shape (B, K, K).

        Slots that were joined are told apart if the second comes back: one slot was no explanation of both. At the
        border nothing is learned of it: of one thing that comes in, several pieces are seen first.

        Args:
            frames: The same before this frame.
        """
        born, ends = (mark.unsqueeze(1) | mark.unsqueeze(2) for mark in (self.births | self.returns, self.ends))
        inner = self.parts.masked_fill(self.entering, 0)
        one, other = inner.unsqueeze(2), inner.unsqueeze(1)
        frames = torch.where(born, torch.zeros_like(frames), frames)
        apart = (frames < 0) | ends | (one != other) & (one > 0) & (other > 0)
        return torch.where(apart, torch.full_like(frames, -1), frames + ((one == other) & (one > 0)))


@dataclass(frozen=True)
class PartMemory:
    """What B videos know of the objects of their slots.

    Attributes:
        owner: Slot that owned each pixel in the last frame, 0 for none, shape (B, H, W).
        on: Slots that hold an object, shape (B, K); slot 0 is the background.
        waits: Slots that are off and wait for their object, bool, shape (B, K).
        windows: Where objects were last, shape (B, K, 4).
        colours: Their mean differences from the background, shape (B, K, C).
        together: Frames in which two slots were in one part, -1 once they were in two, int64, shape (B, K, K).
        extents: Usual area of the part of each slot's object, pixels; 0 where nothing is known, shape (B, K).
    """

    owner: Tensor
    on: Tensor
    waits: Tensor
    windows: Tensor
    colours: Tensor
    together: Tensor
    extents: Tensor


@dataclass(frozen=True)
class _Part:
    """A part of one frame.

    Attributes:
        rows: Where it lies.
        columns: Where it lies.
        area: Pixels.
        colour: Mean difference from the background, shape (C,).
        number: Of the connected part it belongs to.
    """

    rows: slice
    columns: slice
    area: int
    colour: np.ndarray
    number: int

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

    def touches(self, size: Sequence[int]) -> bool:
        """Return whether it lies at the border of a frame (H, W), where more of it may come in."""
        sides = zip((self.rows, self.columns), size, strict=True)
        return any(side.start == 0 or side.stop == whole for side, whole in sides)

    def window(self, height: int, width: int) -> list[float]:
        """Return (x, y, log half width, log half height)."""
        sides = ((self.columns, width), (self.rows, height))
        centre = [(side.start + side.stop - 1) / max(n - 1, 1) - 1 for side, n in sides]
        return centre + [math.log((side.stop - side.start) / n) for side, n in sides]


def guess(
    strange: Tensor, difference: Tensor, memory: PartMemory, limits: Limits, frames: Tensor | None = None
) -> Guess:
    """Find the object of every slot in new frames, and parts for slots that are off.

    A connected part in which one slot owned pixels, and which is about as large, is that slot's object. Where several
    slots share a part, their windows stay; what nobody owned of it is a new part if it is large enough, and so is what
    came to an object that has not moved, in another colour than its own. Two slots of about one colour that share a
    part and were never seen apart hold one object: the larger takes over the other's pixels. A slot whose pixels show
    the background again, or that waits, takes the nearest new part of about its colour and size. All other new parts
    go to slots that are off, the largest first; slots that wait are the last to be taken.

    Args:
        strange: How much pixels differ from what the background may show, shape (B, H, W).
        difference: Frame minus background, shape (B, C, H, W).
        memory: What is known of the slots' objects.
        limits: What makes a part.
        frames: Shape (B, C, H, W), where `limits.hues` asks for them.
    """
    values, owners = strange.detach().cpu().numpy(), memory.owner.cpu().numpy()
    shade = difference.detach().cpu().numpy()
    masks = values > limits.strange
    masks &= grown(_solid(masks))  # no specks, no threads
    if limits.hues and frames is not None:
        labels = of_like_hues(masks, frames.detach().cpu().numpy(), limits.hues)
    else:
        labels = _of_like_colours(masks, shade, limits.step) if limits.step else ndimage.label(masks, SQUARE)[0]
    near = grown(owners > 0, _APART)
    batch, slots, channels = memory.colours.shape
    on, waits, together = memory.on.cpu().numpy() > 0, memory.waits.cpu().numpy(), memory.together.cpu().numpy()
    windows, colours = memory.windows.detach().cpu().numpy(), memory.colours.detach().cpu().numpy()
    boxes, shades = np.zeros((batch, slots, 4), np.float32), np.zeros((batch, slots, channels), np.float32)
    marks, parts = np.zeros((5, batch, slots), bool), np.zeros((batch, slots), np.int64)
    entering = np.zeros((batch, slots), bool)
    extents = memory.extents.cpu().numpy().copy()
    for b in range(batch):
        frame = _Frame(values[b], shade[b], owners[b], _from_one(labels[b]), near[b], limits)
        heirs = frame.merge(colours[b], together[b])
        if heirs:
            frame = replace(frame, owner=np.array([heirs.get(k, k) for k in range(slots)])[frame.owner])
        absent = frame.extents_behind(waits[b], windows[b], extents[b])
        moves, new = frame.assign(colours[b], extents[b], absent)
        kinds = {k: (windows[b, k], colours[b, k]) for k in moves}  # those that share a part may be pieces of things
        moves, new = frame.split(moves, new, kinds, extents[b])
        empty = [k for k in np.flatnonzero(on[b])[1:] if frame.shows_background(k)]
        moves |= frame.claims(new, empty, windows[b], colours[b])
        returns = frame.claims(new, np.flatnonzero(waits[b]).tolist(), windows[b], colours[b])
        off = [k for k in range(1, slots) if not on[b, k] and k not in returns]
        free = sorted(off, key=lambda k: bool(waits[b, k]))
        births = dict(zip(free, sorted(new, key=lambda part: -part.area), strict=False))
        parts[b] = frame.part_of_slots(slots)
        for slot, part in (moves | returns | births).items():
            boxes[b, slot], shades[b, slot], parts[b, slot] = part.window(*values.shape[1:]), part.colour, part.number
            slowly = slot in moves and not part.touches(values.shape[1:])
            extents[b, slot] += (_SLOWLY if slowly else 1.0) * (part.area - extents[b, slot])
        entering[b] = np.isin(parts[b], frame.border_parts())
        chosen = ([*moves], [*returns], [*births], [*heirs.values()], [*heirs])
        for mark, slots_of_it in zip(marks, chosen, strict=True):
            mark[b, slots_of_it] = True
    moved, returned, born, heir, ended = torch.from_numpy(marks).to(strange.device)
    places, colour = (torch.from_numpy(array).to(strange.device) for array in (boxes, shades))
    number, usual, border = (torch.from_numpy(array).to(strange.device) for array in (parts, extents, entering))
    return Guess(places, colour, moved, returned, born, heir, ended, number, usual, border)


def _solid(masks: np.ndarray) -> np.ndarray:
    """Return pixels of images (B, H, W) of whose 3 x 3 pixels most are in the masks; beyond the border none are."""
    counts = np.zeros((len(masks), masks.shape[1] + 2, masks.shape[2] + 2), np.int8)
    counts[:, 1:-1, 1:-1] = masks
    rows = counts[:, :-2] + counts[:, 1:-1] + counts[:, 2:]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] > 4  # type: ignore[no-any-return]


def _from_one(labels: np.ndarray) -> np.ndarray:
    """Return the numbers of a frame's parts, which run through the batch, counted from 1; 0 stays 0."""
    inside = labels > 0
    return np.where(inside, labels - (int(labels[inside].min()) - 1), 0) if inside.any() else labels


def _of_like_colours(masks: np.ndarray, colours: np.ndarray, step: float) -> np.ndarray:
    """Return the number of each pixel's part, 0 for none: neighbours are of one where their colours are alike.

    Args:
        masks: Which pixels are of parts at all, bool, shape (B, H, W).
        colours: Shape (B, C, H, W).
        step: Largest difference, of the channel that differs most, at which neighbours are of one part.

    Returns:
        int, shape (B, H, W), numbered through the batch.
    """
    numbers = np.arange(masks.size).reshape(masks.shape)
    width, pairs = masks.shape[2], []
    for down, left, right in ((0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0)):
        one = (..., slice(masks.shape[1] - down), slice(left, width - right))
        other = (..., slice(down, None), slice(right, width - left))
        alike = masks[one] & masks[other] & (np.abs(colours[one] - colours[other]).max(1) < step)
        pairs.append((numbers[one][alike], numbers[other][alike]))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(masks.size, masks.size))
    _, parts = sparse.csgraph.connected_components(graph, directed=False)
    parts = np.where(masks.ravel(), parts + 1, 0)
    return np.unique(parts, return_inverse=True)[1].reshape(masks.shape) + (0 if (parts == 0).any() else 1)


@dataclass(frozen=True)
class _Frame:
    """One frame: strangeness, difference, owners, numbers of connected parts, pixels near owned ones, limits."""

    strange: np.ndarray
    difference: np.ndarray
    owner: np.ndarray
    labels: np.ndarray
    near: np.ndarray
    limits: Limits

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

    def merge(self, colours: np.ndarray, together: np.ndarray) -> dict[int, int]:
        """Return slots that hold an object with another slot, each with the slot that takes over its pixels.

        Args:
            colours: Of all slots, shape (K, C).
            together: Frames in which they were in one part, -1 once they were in two, shape (K, K).
        """
        areas, parts = np.bincount(self.owner.ravel(), minlength=len(colours)), self.part_of_slots(len(colours))
        heirs: dict[int, int] = {}
        for slot in np.argsort(areas[1:], kind="stable") + 1:  # the smallest first
            others = (parts == parts[slot]) & (together[slot] >= _PATIENCE) & (areas >= areas[slot])
            others &= np.abs(colours - colours[slot]).max(1) < ALIKE
            others[[0, slot, *heirs]] = False
            if parts[slot] and others.any():
                heirs[int(slot)] = int(np.where(others, areas, 0).argmax())
        return heirs

    def extents_behind(self, waits: np.ndarray, windows: np.ndarray, extents: np.ndarray) -> np.ndarray:
        """Return the usual areas of objects that slots wait for where each part is now, shape (parts + 1,)."""
        size, hidden = np.array(self.labels.shape), np.zeros(int(self.labels.max()) + 1)
        for slot in np.flatnonzero(waits):
            place = np.rint((windows[slot, 1::-1] + 1) / 2 * (size - 1)).astype(int)
            row, column = np.clip(place, 0, size - 1)
            hidden[self.labels[row, column]] += extents[slot]
        return hidden

    def assign(
        self, colours: np.ndarray, extents: np.ndarray, absent: np.ndarray
    ) -> tuple[dict[int, _Part], list[_Part]]:
        """Return the parts that are the objects of slots, by slot, and those that are nobody's.

        Args:
            colours: Of all slots, shape (K, C).
            extents: Usual areas of their parts, shape (K,); those of parts at the border grow with them.
            absent: The same of objects that may be hidden in each part, by its number.
        """
        slots = len(colours)
        areas = np.bincount(self.owner.ravel(), minlength=slots)
        edge = np.ones_like(self.owner, bool)
        edge[1:-1, 1:-1] = False
        moves: dict[int, _Part] = {}
        new: list[_Part] = []
        for number, box in enumerate(ndimage.find_objects(self.labels), 1):
            inside = self.labels[box] == number
            owned = np.bincount(self.owner[box][inside], minlength=slots)
            owned[0] = 0
            slot, area = int(owned.argmax()), int(inside.sum())
            if not owned.any():
                new += self._lawful(inside, box)
                continue
            holders = owned > _LEFT * areas
            if edge[box][inside].any() and holders.any():  # more of its objects comes in
                extents[holders] *= max(1.0, area / max(float(extents[holders].sum()), 1.0))
            usual = area < _GROWTH * (extents[holders].sum() + absent[number] * holders.any())
            pieces = [] if usual else self._lawful_pieces(inside & ~self.near[box], box)
            pieces = [part for part in pieces if part.area >= _NEW_SHARE * owned.sum()]
            single = owned[slot] == owned.sum() > _OWN_SHARE * areas[slot]
            if single and (usual or _SAME_SIZE[0] < area / areas[slot] < _SAME_SIZE[1]):
                grows = owned[slot] < _STAYS * areas[slot] or bool(edge[self.owner == slot].any())  # moves, or comes in
                pieces = [part for part in pieces if not grows and np.abs(part.colour - colours[slot]).max() > ALIKE]
                if not pieces:
                    moves[slot] = self._part(inside, box)
            new += pieces
        return moves, new

    def split(
        self,
        moves: dict[int, _Part],
        new: list[_Part],
        kinds: dict[int, tuple[np.ndarray, np.ndarray]],
        extents: np.ndarray,
    ) -> tuple[dict[int, _Part], list[_Part]]:
        """Take parts apart that hold one more of a kind of object, and something of another colour.

        Args:
            moves: Parts that are the objects of slots.
            new: Parts that are nobody's.
            kinds: Windows and colours of objects that are known, by slot.
            extents: Usual areas of the parts of slots, shape (K,); nothing has come to a part of its usual area.
        """
        height, width = self.labels.shape
        boxes = {slot: (np.exp(window[3]) * height, np.exp(window[2]) * width) for slot, (window, _) in kinds.items()}
        known = [(slot, boxes[slot], colour) for slot, (_, colour) in kinds.items()]
        fresh = [(part, part.sides, part.colour) for part in new]
        after, rest = dict(moves), []
        for slot, part in [*moves.items(), *((0, part) for part in new)]:
            if slot and part.area < _GROWTH * extents[slot] and not part.touches(self.labels.shape):
                continue
            likes = [(sides, colour) for who, sides, colour in [*known, *fresh] if who is not part and who != slot]
            pieces = next(filter(None, (self._pieces(part, sides, colour) for sides, colour in likes)), [part])
            if slot:
                own = [int((self.owner[p.rows, p.columns] == slot).sum()) / p.box_area for p in pieces]
                after[slot] = pieces.pop(int(np.argmax(own)))
            rest += pieces
        return after, rest

    def _pieces(self, part: _Part, sides: tuple[float, float], colour: np.ndarray) -> list[_Part]:
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
        return one + others if others else []

    def shows_background(self, slot: int) -> bool:
        """Return whether a slot's pixels show the background again."""
        pixels = self.owner == slot
        return bool(pixels.any()) and float((self.labels[pixels] > 0).mean()) <= _LEFT

    def claims(
        self, new: list[_Part], slots: Sequence[int], windows: np.ndarray, colours: np.ndarray
    ) -> dict[int, _Part]:
        """Return new parts that are the objects of slots that look for theirs, and take them out.

        Args:
            new: Parts that are nobody's.
            slots: Who looks.
            windows: Where all slots saw their objects last, shape (K, 4).
            colours: Their colours, shape (K, C).
        """
        sides = np.array(self.labels.shape)
        claims: dict[int, _Part] = {}
        for slot in slots:
            place = (windows[slot, 1::-1] + 1) / 2 * (sides - 1)
            size = np.exp(windows[slot, 3:1:-1]) * sides
            near = [
                (float(np.abs(part.centre - place).max()) / part.side, index)
                for index, part in enumerate(new)
                if np.abs(part.colour - colours[slot]).max() < _SAME_COLOUR
                and _SAME_SIZE[0] < part.box_area / size.prod() < _SAME_SIZE[1]
            ]
            if near and min(near)[0] < _REACH:
                claims[slot] = new.pop(min(near)[1])
        return claims

    def _lawful_pieces(self, inside: np.ndarray, box: tuple[slice, slice]) -> list[_Part]:
        """Return the connected pieces of some pixels in a box that are large and clear enough to be parts."""
        if np.count_nonzero(inside) < self.limits.area:
            return []
        labels, count = ndimage.label(inside, SQUARE[1])
        return [part for number in range(1, count + 1) for part in self._lawful(labels == number, box)]

    def _lawful(self, inside: np.ndarray, box: tuple[slice, slice]) -> list[_Part]:
        """Return a part if it is large and clear enough, as a list of one or none."""
        area = np.count_nonzero(inside)
        if area < self.limits.area:
            return []
        clear = np.count_nonzero(inside & (self.strange[box] > self.limits.clear))
        return [self._part(inside, box)] if clear >= max(2, _CLEAR_PIXELS * area) else []

    def _part(self, inside: np.ndarray, box: tuple[slice, slice]) -> _Part:
        """Return the part of some pixels in a box."""
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        colour = self.difference[:, *box][:, inside].mean(1)
        top, left = box[0].start, box[1].start
        return _Part(
            slice(top + int(rows[0]), top + int(rows[-1]) + 1),
            slice(left + int(columns[0]), left + int(columns[-1]) + 1),
            int(inside.sum()),
            colour,
            int(self.labels[box][inside][0]),
        )
