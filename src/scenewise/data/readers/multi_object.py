"""The Multi-Object Datasets in their published TFRecord files, without TensorFlow.

CLEVR (with masks), Multi-dSprites (three kinds), Objects Room and Tetrominoes; CATER with masks lies in files of the
same kind. Which of them a file is, is told from its first record. Every record is a video of one frame (33 in CATER).
Ids are the numbers of the entities: 0 is the background, in the Objects Room 0 to 3 are sky, floor and walls. Factors
are in `extras` as stored, one row per entity, so that row i belongs to id i.

The files have no splits. Of a whole CLEVR file the first 70,000 records are for training, 15,000 each for validation
and testing; of the others the first 10,000 are for testing, the next for validation (as in GENESIS). A part of a file
is divided 80:10:10 in order. Files of Objects Room variants and of CATER are for testing, or for training, as a whole,
as their names say. Settings `train`, `validation` and `test` say otherwise.

What papers do to the frames: CLEVR crop=[29,64,192,192] size=[128,128] (IODINE, Slot Attention; 96 is used as well) or
crop=[24,64,192,192] size=[128,128] (GENESIS); Tetrominoes as they are, or crop=[1,1,32,32]; CLEVR6 is most_objects=6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import build, setting
from scenewise.data.containers.tfrecord import RecordFile
from scenewise.data.contract import Description, ObjectKeys, register_source
from scenewise.data.readers.base import FilesConfig, FilesSource, Record, ids_from_masks, split_records, whole_file_is
from scenewise.data.splits import SPLITS
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenewise.data.containers.tf_example import Example
    from scenewise.data.contract import Progress, Source

_NAME = "multi-object-tfrecords"


@dataclass(frozen=True)
class RecordLayout:
    """How one of the sets is stored.

    Attributes:
        image: (H, W, C).
        entities_last: Whether masks are (H, W, E, 1); else (E, H, W, 1).
        needs: Features that tell it from sets with images of the same size.
        lacks: Features it must not have.
        backgrounds: How many of the first entities are background.
        total: Number of records of the whole file.
        published: First record and the one after the last of every split of the whole file.
    """

    image: tuple[int, int, int]
    entities_last: bool = False
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    backgrounds: int = 1
    total: int = 1_000_000
    published: tuple[tuple[int, int], ...] = ((20_000, 1_000_000), (10_000, 20_000), (0, 10_000))


LAYOUTS = {
    "multi-dsprites-binarized": RecordLayout((64, 64, 1), True, ("x", "visibility")),
    "multi-dsprites-coloured": RecordLayout((64, 64, 3), True, ("x", "visibility")),
    "objects-room": RecordLayout((64, 64, 3), lacks=("x",), backgrounds=4),
    "clevr": RecordLayout(
        (240, 320, 3),
        total=100_000,
        published=((0, 70_000), (70_000, 85_000), (85_000, 100_000)),
        needs=("visibility",),
    ),
    "tetrominoes": RecordLayout((35, 35, 3), needs=("x", "visibility")),
    "cater": RecordLayout((64, 64, 3), total=0),
}
"""Layouts by name; CATER's is told by its several frames."""


@dataclass(frozen=True)
class MultiObjectConfig(FilesConfig):
    """Settings of the reader of the Multi-Object Datasets."""

    variant: str | None = setting(None, "which set it must be; none: told from the data", choices=tuple(LAYOUTS))
    mask_axis: Literal["first", "last"] | None = setting(
        None, "first: masks (E, H, W, 1); last: (H, W, E, 1); none: as the set has it"
    )
    first_records: int | None = setting(None, "use no more than the first records of the file", minimum=1)
    most_objects: int | None = setting(None, "leave out scenes with more objects, as in CLEVR6", minimum=1)
    fewest_objects: int | None = setting(None, "leave out scenes with fewer objects, as in CLEVR10", minimum=1)
    repair_walls: bool = setting(
        False, "Objects Room: take entity 3 for an object where it touches no side of the image, as no wall does"
    )
    check_crc: bool = setting(False, "compare checksums while reading")
    cache: str | None = setting(None, "folder for indices and copies; none: next to the file")


@register_source(
    _NAME,
    Description(
        what="CLEVR with masks, Multi-dSprites, Objects Room, Tetrominoes as published (TFRecord)",
        kind="files",
        paper="Multi-Object Datasets (Kabra et al. 2019); IODINE, MONet, GENESIS, Slot Attention",
        size="1 frame; 35 x 35, 64 x 64 or 240 x 320",
        factors=("x", "y", "z", "shape", "size", "colour", "material", "rotation", "scale", "visibility"),
        licence="repository Apache-2.0; none stated for the data",
        obtain="gsutil cp gs://multi-object-datasets/SET/FILE.tfrecords . (github.com/google-deepmind/"
        "multi_object_datasets lists them), then path=FILE.tfrecords; do not unpack",
    ),
)
class MultiObjectSource(FilesSource):
    """Records of one file.

    Args:
        config: File and settings.
        split: "train", "validation" or "test".
        progress: Called with name, records done and None while a gzip file is copied.

    Raises:
        InputError: The file is missing, damaged or of another layout, or no record is left.
    """

    config_class = MultiObjectConfig
    config: MultiObjectConfig
    object_keys = ObjectKeys(
        shape="shape",
        colour="color",
        material="material",
        size="size",
        position="pixel_coords",
        place="x+y",
        orientation="rotation|orientation",
        visibility="visibility",
        entities=True,
    )

    @classmethod
    def create(cls, name: str, split: str, settings: Mapping[str, Any], progress: Progress | None = None) -> Source:
        """Return the reader of a file; see `Source.create`."""
        return cls(build(MultiObjectConfig, settings, f"source {name}"), split, progress)

    def __init__(
        self,
        config: MultiObjectConfig,
        split: str = "train",
        progress: Progress | None = None,
    ) -> None:
        super().__init__(config, split)
        self._file = RecordFile(config.path, config.cache, config.check_crc, config.first_records, progress)
        first = self._file.example(0)
        self.variant, self._shape = _recognised(first, config.variant)
        self._layout = LAYOUTS[self.variant]
        self._entities_last = config.mask_axis == "last" if config.mask_axis else self._layout.entities_last
        entities = self._masks(first).shape[1]
        self._check_axis(first)
        span = self._span()
        self._settle(
            self._with_objects(span, entities),
            self._shape[1:],
            frames=self._shape[0],
            max_objects=min(entities - self._layout.backgrounds, config.most_objects or entities),
            background_ids=tuple(range(self._layout.backgrounds)),
            binary=self._shape[3] == 1 and config.size is None,
            origin=f"{self.variant} in {self.path.name}, records {span.start} to {span.stop - 1}",
        )

    def _read(self, record: int, first: int, stop: int) -> Record:
        example = self._file.example(record)
        flat = example.uint8("image")
        if len(flat) != np.prod(self._shape):
            problem = f"image: expected {np.prod(self._shape)} bytes as in the first record, found {len(flat)}."
            raise InputError(example.where, problem, "The file mixes sets or is damaged.")
        images = flat.reshape(self._shape)[first:stop]
        masks = self._masks(example)
        extras = self._factors(example, masks.shape[1])
        present: np.ndarray = np.asarray(masks.any((0, 2, 3)))
        ids = ids_from_masks(masks[first:stop])
        if self.config.repair_walls and self.variant == "objects-room":
            third = ids == 3
            at_side = third[:, [0, -1]].any() or third[:, :, [0, -1]].any()
            if third.any() and not at_side:  # id 3 is an object, and is to be free for the wall that is not seen
                ids, present = np.where(ids >= 3, ids + 1, ids), np.insert(present, 3, False)
        return Record(images, ids, {**extras, "present": present, "record": record})

    def _span(self) -> range:
        total, layout, name = len(self._file), self._layout, self.path.name.lower()
        if "_test" in name or self.variant == "cater":
            return whole_file_is(self.config, self.split, total, "test" if "_test" in name else "train")
        published = dict(zip(SPLITS, layout.published, strict=True)) if total == layout.total else None
        return split_records(self.config, self.split, total, published)

    def _with_objects(self, span: range, entities: int) -> Sequence[int] | np.ndarray:
        """Return the records whose number of objects is asked for."""
        low, high = self.config.fewest_objects or 0, self.config.most_objects or entities
        if low <= 0 and high >= entities:
            return span
        counts = self._file.table(f"objects-{self._entities_last:d}", self._count)[span.start : span.stop]
        records = span.start + np.flatnonzero((counts >= low) & (counts <= high))
        if not len(records):
            counts_text = f"{counts.min()} to {counts.max()}"
            problem = f"no record of split {self.split} has {low} to {high} objects; they have {counts_text}."
            raise InputError(self.config.path, problem, "Change fewest_objects and most_objects.")
        return records

    def _count(self, example: Example) -> int:
        """Return the number of entities that are there and no background."""
        backgrounds = self._layout.backgrounds
        if "visibility" in example:
            return int((example.floats("visibility")[backgrounds:] > 0).sum())
        return int(self._masks(example)[:, backgrounds:].any((0, 2, 3)).sum())

    def _masks(self, example: Example) -> np.ndarray:
        """Return masks, uint8 (T, E, H, W)."""
        time, height, width, _ = self._shape
        flat = example.uint8("mask")
        entities, rest = divmod(len(flat), time * height * width)
        if rest or not entities:
            problem = f"mask: expected a multiple of {time} x {height} x {width} bytes, found {len(flat)}."
            raise InputError(example.where, problem, "Is it a file of another set?")
        if self._entities_last:
            return np.moveaxis(flat.reshape(time, height, width, entities), 3, 1)
        return flat.reshape(time, entities, height, width)

    def _check_axis(self, example: Example) -> None:
        """Masks cover every pixel once; along the wrong axis they do not."""
        if (self._masks(example) > 127).sum(1).max() <= 1:
            return
        self._entities_last = not self._entities_last
        other = "last" if self._entities_last else "first"
        fits = (self._masks(example) > 127).sum(1).max() <= 1
        remedy = f"They do not with mask_axis={other}: set it." if fits else "Is it a file of another set?"
        raise InputError(example.where, "masks: expected one entity per pixel, found several.", remedy)

    def _factors(self, example: Example, entities: int) -> dict[str, Any]:
        """Return all other features, as rows per entity where their length allows it."""
        factors = {}
        for name in example.names():
            if name not in ("image", "mask"):
                values = example.array(name)
                rows = len(values) > entities and len(values) % entities == 0 and self._shape[0] == 1
                factors[name] = values.reshape(entities, -1) if rows else values
        if self.variant == "multi-dsprites-binarized" and "color" in factors:
            factors["color"] = factors["color"].reshape(entities, -1)
        return factors


def _recognised(example: Example, layout_name: str | None) -> tuple[str, tuple[int, int, int, int]]:
    """Return the name of the set that a record belongs to, and (T, H, W, C) of its images."""
    length = len(example.uint8("image"))
    for name, layout in LAYOUTS.items():
        time, rest = divmod(length, int(np.prod(layout.image)))
        matches = all(key in example for key in layout.needs) and not any(key in example for key in layout.lacks)
        if matches and not rest and (time > 1 if name == "cater" else time == 1) and layout_name in (None, name):
            return name, (time, *layout.image)
    features = ", ".join(example.names())
    problem = (
        f"expected {layout_name or 'one of ' + ', '.join(LAYOUTS)}; found image of {length} bytes, features {features}."
    )
    raise InputError(example.where, problem, "Give a file of these sets, or another variant.")
