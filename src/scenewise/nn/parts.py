"""First guesses of objects, made without learning: connected parts of a frame that its background does not explain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage, sparse
from torch import Tensor

from scenewise.nn.cores import of_like_hues
from scenewise.nn.frame_parts import GROWTH, NEAR, FrameParts, Limits, Part
from scenewise.nn.habits import NOWHERE, Habits, companies, within
from scenewise.nn.looks import likeness, places_by_looks
from scenewise.nn.masks import SQUARE, consecutive, grown, neighbours
from scenewise.nn.necks import apart_at_necks, cut_to_size
from scenewise.nn.windows import covered

_SLOWLY = 0.1  # share by which the usual area of a part follows it
_VISIBLE = 0.5  # of its usual area that a slot owned, where it was seen how fast its object goes


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
        ends: Slots whose pixels another slot takes over, as one object or as that before theirs, bool, shape (B, K).
        parts: Number of the connected part of each slot's object in its frame, 0 for none, int64, shape (B, K).
        extents: Usual area of the part of each slot's object, pixels, shape (B, K).
        entering: Slots whose part lies at the border of the frame, bool, shape (B, K).
        company: Slots whose object shares a part with others, or is hidden in it, and should be in `windows` by its
            habits, bool, shape (B, K).
        sources: Slot whose track each slot has now: another's where two were taken for each other, int64, shape (B, K).
        habits: What is known of the objects after this frame.
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
    company: Tensor
    sources: Tensor
    habits: Habits

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
        speeds: How far what was visible of them last went in a frame, in units of a window, shape (B, K, 2).
        habits: What else is known of the objects.
    """

    owner: Tensor
    on: Tensor
    waits: Tensor
    windows: Tensor
    colours: Tensor
    together: Tensor
    extents: Tensor
    speeds: Tensor
    habits: Habits


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

    Of a slot whose object was alone for some frames it is known what it is usually like (`nn.habits`). In a part with
    others it keeps its sides and goes on its course, seen or hidden; it comes back where enough of it shows that is
    nobody's. When two leave a part, their looks say who is who.

    Args:
        strange: How much pixels differ from what the background may show, shape (B, H, W).
        difference: Frame minus background, shape (B, C, H, W).
        memory: What is known of the slots' objects.
        limits: What makes a part.
        frames: Shape (B, C, H, W), where parts end by `limits.hues`; None where they do not.
    """
    values, owners = strange.detach().cpu().numpy(), memory.owner.cpu().numpy()
    shade = difference.detach().cpu().numpy()
    masks = values > limits.strange
    masks &= grown(_solid(masks))  # no specks, no threads
    if frames is not None:
        labels = of_like_hues(masks, frames.detach().cpu().numpy(), limits.hues, limits.step)
    else:
        labels = _of_like_colours(masks, shade, limits.step) if limits.step else ndimage.label(masks, SQUARE)[0]
    if limits.necks:
        labels = apart_at_necks(labels, limits.necks, limits.area)
    if limits.most < labels[0].size:
        labels = cut_to_size(labels, limits.most, limits.area)
    on, waits, together = memory.on.cpu().numpy() > 0, memory.waits.cpu().numpy(), memory.together.cpu().numpy()
    known = (memory.windows, memory.colours, memory.speeds)
    windows, colours, speeds = (tensor.detach().cpu().numpy() for tensor in known)
    near, extents, habits = grown(owners > 0, NEAR), memory.extents.cpu().numpy().copy(), memory.habits.arrays()
    count, finds = on.shape[1], []
    for b, numbers in enumerate(labels):
        frame = FrameParts(values[b], shade[b], owners[b], _from_one(numbers), near[b], limits)
        slots = _Slots(on[b], waits[b], windows[b], colours[b], speeds[b], extents[b], habits[b])
        heirs = frame.merge(slots.colours, together[b], slots.habits.settled)
        owned = np.bincount(frame.owner.ravel(), minlength=count)
        areas = np.bincount(frame.labels.ravel())
        behind = slots.habits.hiding(frame.part_of_slots(count), areas, owned, slots.extents)
        takers = behind | heirs
        if takers:
            frame = replace(frame, owner=np.array([takers.get(k, k) for k in range(count)])[frame.owner])
        find = _find(frame, slots, heirs)
        find.marks[4, list(behind)] = True
        finds.append(vars(_in_company(frame, slots, find)))
    arrays = {name: torch.from_numpy(np.stack([find[name] for find in finds])) for name in finds[0]}
    found = {name: array.to(strange.device) for name, array in arrays.items()}
    usual = torch.from_numpy(extents).to(strange.device)
    return Guess(**found, extents=usual, habits=habits.tensors(strange.device))


@dataclass(frozen=True)
class _Slots:
    """What one video knows of the objects of its slots; see `PartMemory`. Extents and habits follow what is seen."""

    on: np.ndarray
    waits: np.ndarray
    windows: np.ndarray
    colours: np.ndarray
    speeds: np.ndarray
    extents: np.ndarray
    habits: Habits


@dataclass
class _Find:
    """What is found in one frame.

    Attributes:
        whole: Parts that are the whole object of a slot, by slot.
        emerging: What shows of objects that were hidden, by slot.
        marks: Slots that move, return, are born, inherit and end, in this order, each bool, shape (K,).
        parts: Number of the part of each slot's object, shape (K,).
        hidden: Number of the part in which the object of each slot that waits is hidden, shape (K,).
        places: Where objects should be by their habits, windows (K, 4).
    """

    whole: dict[int, Part]
    emerging: dict[int, Part]
    marks: np.ndarray
    parts: np.ndarray
    hidden: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class _Outcome:
    """A frame's part of a `Guess`."""

    windows: np.ndarray
    colours: np.ndarray
    moves: np.ndarray
    returns: np.ndarray
    births: np.ndarray
    heirs: np.ndarray
    ends: np.ndarray
    parts: np.ndarray
    entering: np.ndarray
    company: np.ndarray
    sources: np.ndarray


def _find(frame: FrameParts, slots: _Slots, heirs: dict[int, int]) -> _Find:
    """Find the objects of slots in a frame, and who is born."""
    count, known, extents = len(slots.on), slots.habits, slots.extents
    usual = (known.colours, known.settled)
    seen = np.bincount(frame.owner.ravel(), minlength=count) > _VISIBLE * extents
    places = known.expected(slots.windows, slots.speeds, seen, leaving=frame.limits.touching)
    frame, places, rests = _search_by_looks(frame, slots, places)
    behind = frame.parts_behind(slots.waits, places)
    hidden = behind * known.settled
    absent = np.bincount(behind, extents, int(frame.labels.max()) + 1)
    moves, new = frame.assign(slots.colours, extents, absent, known.settled, hidden)
    kinds = {k: (slots.windows[k], slots.colours[k]) for k in moves}  # those that share a part may be pieces of things
    moves, new = frame.split(moves, new, kinds, extents, known.settled, known.looks)
    empty = [k for k in np.flatnonzero(slots.on)[1:] if frame.shows_background(k)]
    moves |= rests | frame.claims(new, empty, places, slots.colours, *usual)
    returns = frame.claims(new, np.flatnonzero(slots.waits).tolist(), places, slots.colours, *usual)
    hidden[[*returns]] = 0
    returns |= frame.claims(new, np.flatnonzero(hidden).tolist(), places, slots.colours, *usual, any_colour=True)
    hidden[[*returns]] = 0
    emerging = frame.emerging(hidden, places, extents, slots.colours)
    off = [k for k in range(1, count) if not slots.on[k] and k not in returns and k not in emerging]
    free = sorted(off, key=lambda k: bool(slots.waits[k]))
    births = dict(zip(free, sorted(new, key=lambda part: -part.area), strict=False))
    whole, marks = moves | returns | births, np.zeros((5, count), bool)
    chosen = ([*moves], [*returns, *emerging], [*births], [*heirs.values()], [*heirs])
    for mark, chosen_slots in zip(marks, chosen, strict=True):
        mark[chosen_slots] = True
    hidden[[*births, *emerging]] = 0
    parts = frame.part_of_slots(count)
    for slot, part in (whole | emerging).items():
        parts[slot] = part.number
    return _Find(whole, emerging, marks, parts, hidden, places)


def _search_by_looks(
    frame: FrameParts, slots: _Slots, places: np.ndarray
) -> tuple[FrameParts, np.ndarray, dict[int, Part]]:
    """Look for settled objects where their looks are in parts that hold more than them.

    Returns:
        The frame in which they own what is there, where they should be (K, 4), and what is left of parts by the one
        slot beside them that is not settled.
    """
    parts, areas = frame.part_of_slots(len(slots.on)), np.bincount(frame.labels.ravel())
    owner, places, rests = frame.owner.copy(), places.copy(), dict[int, Part]()
    for number in np.unique(parts[parts > 0]):
        sharing = np.flatnonzero((parts == number) & (slots.on > 0))
        known = sharing[slots.habits.settled[sharing]]
        usual = slots.extents[known]
        if not len(known) or areas[number] < GROWTH * usual.max():
            continue
        pixels = frame.labels == number
        looks = slots.habits.looks[known]
        targets = places_by_looks(frame.difference, pixels, places[known], looks, usual)
        moved = (targets != places[known]).any(1)
        places[known] = targets
        held = covered(torch.from_numpy(targets), owner.shape).numpy() & pixels
        for slot, mask in zip(known[moved], held[moved], strict=True):
            owner[owner == slot] = 0
            owner[mask] = slot
        others = sharing[~slots.habits.settled[sharing]]
        if len(others) == 1 and areas[number] >= GROWTH * usual.sum():
            like = np.array([likeness(frame.difference, look).max(0) > 0 for look in looks])
            left = pixels & ~(held & like).any(0) & (frame.strange > frame.limits.clear)  # no shadows
            rest = frame.largest(left)
            if rest:
                rests[int(others[0])] = rest
                owner[left] = others[0]
    if (owner != frame.owner).any():
        frame = replace(frame, owner=owner, near=grown(owner > 0, NEAR))
    return frame, places, rests


def _in_company(frame: FrameParts, slots: _Slots, find: _Find) -> _Outcome:
    """Say where objects in joined parts should be, learn of those that are alone, and tell who left which part."""
    size, known, extents, whole = frame.labels.shape, slots.habits, slots.extents, find.whole
    windows, colours = np.zeros_like(slots.windows), np.zeros_like(slots.colours)
    for slot, part in (whole | find.emerging).items():
        windows[slot], colours[slot] = part.window(*size), part.colour
    for slot in np.flatnonzero(find.marks[2]).tolist():
        known.forget(slot)
        if whole[slot].kind and known.settled[whole[slot].kind]:
            known.adopt(slot, whole[slot].kind)
            extents[slot] = extents[whole[slot].kind]
    for slot, part in whole.items():
        lasting = known.settled[slot]
        share = 1.0 if not lasting and (not find.marks[0, slot] or part.touches(size)) else _SLOWLY
        extents[slot] += (0.0 if lasting and part.touches(size) else share) * (part.area - extents[slot])
    joined = np.where(find.hidden, find.hidden, find.parts)
    mixed = np.zeros_like(slots.on)
    for group in companies(joined):
        known.join(group)
        mixed[group] = True
    company = mixed & known.settled
    company[[*whole]] = False
    for slot in np.flatnonzero(company).tolist():
        windows[slot] = within(find.places[slot], frame.window_of(joined[slot]))
    alone = {slot: part for slot, part in whole.items() if not mixed[slot] and not known.enters(slot, part, size)}
    known.spots[[slot for slot in range(len(mixed)) if slot not in alone]] = NOWHERE
    sources = np.arange(len(mixed))
    for pair in known.exchanges(alone):
        sources[pair], extents[pair] = sources[pair[::-1]], extents[pair[::-1]]
    for slot, part in alone.items():
        known.learn(slot, part, size)
    for slot in [slot for slot in whole if slot not in alone and not known.settled[slot]]:
        known.begin(slot, whole[slot], size)
    entering = np.isin(find.parts, frame.border_parts())
    moves, returns, births, heirs, ends = find.marks
    return _Outcome(windows, colours, moves, returns, births, heirs, ends, find.parts, entering, company, sources)


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
    pairs = []
    for one, other in neighbours(*masks.shape[1:]):
        alike = masks[one] & masks[other] & (np.abs(colours[one] - colours[other]).max(1) < step)
        pairs.append((numbers[one][alike], numbers[other][alike]))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(masks.size, masks.size))
    _, parts = sparse.csgraph.connected_components(graph, directed=False)
    return consecutive(np.where(masks.ravel(), parts + 1, 0)).reshape(masks.shape)
