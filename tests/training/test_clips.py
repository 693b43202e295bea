"""The clips of every step depend on (seed, step) only, and dividing a batch changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from scenewise.data.contract import SOURCES, Facts, Sample, Source
from scenewise.errors import InputError
from scenewise.training.clips import Clips, InOrder, noise_of_rows, videos_of_rows
from scenewise.training.recipe import TrainingPart

TRAINING = TrainingPart(steps=12, batch=8, curriculum=((0, 2), (6, 3)), seed=5)
SHAPES = {2: (2, 1, 3, 4), 3: (3, 1, 3, 4)}


class Uneven(Source):
    """Videos of different lengths whose pixels name video and frame."""

    facts = Facts(channels=1, size=(2, 2), frames=None, max_objects=None, has_ids=False)

    def __len__(self):
        return 5

    def sample(self, index, start=0, frames=None):
        numbers = np.arange(start, 10 + index if frames is None else start + frames)
        made = np.zeros((len(numbers), 1, 2, 2), np.uint8)
        made[:, 0, 0, 0], made[:, 0, 1, 1] = index, numbers
        return Sample(made)

    def fingerprint(self):
        return "uneven"


@pytest.fixture(scope="module")
def balls():
    return SOURCES.get("balls")(size=16)


def parts(source, training, world=1, step=7):
    """All parts of a step, in the order of their rows."""
    made = [
        Clips(source, training, SHAPES, rank=rank, world=world)[step * training.accumulation + part]
        for part in range(training.accumulation)
        for rank in range(world)
    ]
    assert [row for clip in made for row in clip["rows"]] == list(range(training.batch))
    return [torch.cat([clip[key] for clip in made]) for key in ("frames", "noise")]


def test_the_same_step_gives_the_same_clip_wherever_a_run_begins(balls):
    whole, resumed = Clips(balls, TRAINING, SHAPES), Clips(balls, TRAINING, SHAPES, first=7)
    assert len(whole) - len(resumed) == 7
    one, other = whole[9], resumed[2]
    assert one["step"] == other["step"] == 9
    assert all(torch.equal(one[key], other[key]) for key in ("frames", "noise"))
    assert (one["indices"], one["seed"]) == (other["indices"], other["seed"])


@pytest.mark.parametrize(("accumulation", "world"), [(2, 1), (1, 2), (2, 2), (4, 1)])
@pytest.mark.parametrize("kind", ["balls", "uneven"])
def test_dividing_a_batch_among_processes_and_parts_changes_nothing(balls, accumulation, world, kind):
    source = balls if kind == "balls" else Uneven()
    divided = dataclasses.replace(TRAINING, accumulation=accumulation)
    for one, other in zip(parts(source, TRAINING), parts(source, divided, world), strict=True):
        assert torch.equal(one, other)


def test_clips_have_the_curriculum_s_length_and_no_ground_truth(balls):
    clips = Clips(balls, TRAINING, {})
    assert [clips[step]["frames"].shape[1] for step in (0, 5, 6, 11)] == [2, 2, 3, 3]
    assert clips[0]["frames"].dtype == torch.uint8
    assert clips[0]["noise"].numel() == 0
    assert set(clips[0]) == {"frames", "noise", "step", "rows", "indices", "seed", "viewpoints", "background"}
    assert clips[0]["viewpoints"].numel() == clips[0]["background"].numel() == 0


class Ring(Uneven):
    """The same videos, each frame with a viewpoint that names video and frame."""

    def viewpoints(self, index, start=0, frames=None):
        numbers = np.arange(start, 10 + index if frames is None else start + frames)
        return np.stack([np.full(len(numbers), index), numbers], 1).astype(np.float32)


def test_viewpoints_are_those_of_the_frames_shown():
    training = dataclasses.replace(TRAINING, frame_step=2)
    for step in (0, 7):
        clip = Clips(Ring(), training, {}, viewpoints=True)[step]
        assert clip["viewpoints"].dtype == torch.float32
        assert clip["viewpoints"].shape == (*clip["frames"].shape[:2], 2)
        assert torch.equal(clip["viewpoints"][..., 0], clip["frames"][:, :, 0, 0, 0].float())
        assert torch.equal(clip["viewpoints"][..., 1], clip["frames"][:, :, 0, 1, 1].float())


class Together(Ring):
    """The same videos, of different lengths, from a source that can make several at once."""

    def batch(self, indices, start=0, frames=None):
        drawn = np.stack([self.sample(index, start, frames).frames for index in indices])
        return drawn, np.zeros((*drawn.shape[:2], *drawn.shape[3:]), np.int64)


def test_viewpoints_are_those_of_the_frames_where_lengths_differ_but_batches_are_offered():
    clip = Clips(Together(), TRAINING, {}, viewpoints=True)[3]
    assert len(set(clip["frames"][:, 0, 0, 1, 1].tolist())) > 1  # rows begin anywhere, each for itself
    assert torch.equal(clip["viewpoints"][..., 1], clip["frames"][:, :, 0, 1, 1].float())


def test_a_source_without_cameras_says_so():
    with pytest.raises(InputError, match="viewpoints"):
        Clips(Uneven(), TRAINING, {}, viewpoints=True)[0]


def test_every_video_is_shown_once_per_epoch():
    shown = [i for step in range(5) for i in videos_of_rows(0, step, 4, range(4), 10)]
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert shown[:10] != shown[10:]


def test_noise_is_standard_normal_and_differs_between_steps_and_rows():
    drawn = np.stack([noise_of_rows(0, step, range(20), (500,)) for step in range(4)])
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert len(np.unique(drawn[..., 0])) == 80


@pytest.mark.parametrize("random_offset", [True, False])
def test_clips_lie_inside_the_usable_frames(random_offset):
    training = dataclasses.replace(
        TRAINING, curriculum=((0, 3),), steps=40, frame_step=2, max_frame=12, random_offset=random_offset
    )
    starts = set()
    for step in range(40):
        frames = Clips(Uneven(), training, {})[step]["frames"]
        numbers = frames[:, :, 0, 1, 1].long()
        assert (numbers.diff(dim=1) == 2).all()
        lengths = 10 + frames[:, 0, 0, 0, 0].long()
        assert (numbers[:, -1] < lengths.clamp(max=12)).all()
        starts |= set(numbers[:, 0].tolist())
    assert starts == (set(range(8)) if random_offset else {0, 6})


def test_a_video_that_is_too_short_is_named():
    training = dataclasses.replace(TRAINING, curriculum=((0, 12),))
    with pytest.raises(InputError, match=r"need 12 frames; the video has 1[01]"):
        [Clips(Uneven(), training, {})[step] for step in range(3)]


def test_loading_ahead_in_other_processes_keeps_order_and_content(balls):
    clips = Clips(balls, TRAINING, SHAPES, first=3)
    loader = torch.utils.data.DataLoader(clips, batch_size=None, sampler=InOrder(len(clips)), num_workers=2)
    for position, clip in enumerate(loader):
        assert clip["step"] == 3 + position
        assert torch.equal(clip["frames"], clips[position]["frames"])
