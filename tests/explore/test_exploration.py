"""Frames in any order: the same as one after the other, found without reading all before them, in bounded memory."""

import gc
import weakref

import numpy as np
import pytest
import torch

from scenewise.data.contract import Sample
from scenewise.decompose import Request, open_clip
from scenewise.errors import InputError
from scenewise.explore import SceneExploration, VideoExploration
from scenewise.explore import exploration as module

from .conftest import untrained


@pytest.mark.parametrize("name", ["provide", "iodine", "dvip", "ddpae", "rnem", "vae"])
def test_any_order_gives_what_the_video_gives(explore, name):
    exploration = explore(name, frames=7)
    expected = exploration.decomposer.decompose(np.stack([f.given for f in exploration.clip])).masks
    for number in (5, 2, 6, 0, 2):
        masks = exploration.moment(number).decomposition.masks[0, 0, :, 0]
        if exploration.decomposer.recurrent:
            np.testing.assert_allclose(masks, expected[number], atol=1e-5)
    with pytest.raises(InputError, match="has no frame 7"):
        exploration.moment(7)
    with pytest.raises(InputError, match="has no frame -1"):
        exploration.moment(-1)


def test_a_frame_far_away_begins_anew_a_little_before_and_says_so(explore, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_WAY", 4)
    monkeypatch.setattr(module, "LEAD", 2)
    exploration = explore("provide", frames=20)
    assert exploration.moment(3).note == ""
    moment = exploration.moment(15)
    assert "began anew at frame 13" in moment.note
    model = exploration.decomposer.model
    images = torch.stack([torch.from_numpy(f.given).permute(2, 0, 1) for f in exploration.clip])[None].float() / 255
    alone, _ = model.step(images[:, 13:16], model.initial_state())
    np.testing.assert_allclose(moment.decomposition.masks[0, 0], alone.masks[0, 2], atol=1e-5)
    assert "began anew at frame 13" in exploration.moment(16).note


def test_memory_is_bounded(explore, monkeypatch):
    for name in ("STATES", "MOMENTS", "FRAMES"):
        monkeypatch.setattr(module, name, 5)
    exploration = explore("provide", frames=30)
    seen = {"moments": [], "states": [], "frames": []}
    for number in range(30):
        seen["moments"].append(weakref.ref(exploration.moment(number)))
        seen["states"].append(weakref.ref(exploration.state_after(number)["hidden"]))
        seen["frames"].append(weakref.ref(exploration.frame(number)))
    gc.collect()
    for kind, references in seen.items():
        assert 0 < sum(reference() is not None for reference in references) <= 7, kind  # a moment holds on to its state


def test_frames_of_a_file_are_sought(explore, tmp_path):
    exploration = explore("iodine", frames=4)
    images = np.stack([f.given for f in exploration.clip])
    np.save(tmp_path / "clip.npy", images)
    from scenewise.media import read_video

    reader = read_video(tmp_path / "clip.npy", layout="THWC", size=exploration.decomposer.size)
    other = VideoExploration(exploration.decomposer, open_clip(reader, exploration.decomposer.frame_shape))
    assert other.moment(3).index == 3
    np.testing.assert_array_equal(other.moment(3).image, images[3])


def test_a_model_of_a_part_of_the_frame_sees_that_part(tmp_path):
    from scenewise.checkpoint import Card
    from scenewise.media import read_video

    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    np.save(tmp_path / "clip.npy", images)
    decomposer = untrained("iodine")
    decomposer.card = Card(crop=(8, 16, 16, 16), source_size=(32, 48))
    reader = read_video(tmp_path / "clip.npy", layout="THWC")
    moment = VideoExploration.of(decomposer, reader).moment(1)
    np.testing.assert_array_equal(moment.image, images[1, 8:24, 16:32])


def test_slots_and_refinements_may_be_chosen(explore):
    moment = explore("provide", request=Request(slots=5, refinements=6)).moment(0)
    assert moment.slots == 5
    assert len(moment.decodes) == 6  # R - 1 refinements of a first frame, and the drawing after the last


def test_truth_comes_along():
    decomposer = untrained("provide")
    ids = np.random.default_rng(0).integers(0, 3, (2, *decomposer.size))
    frames = np.zeros((2, 3, *decomposer.size), np.uint8)
    exploration = VideoExploration(decomposer, open_clip(Sample(frames, ids), decomposer.frame_shape))
    np.testing.assert_array_equal(exploration.moment(1).ids, ids[1])


class TestScenes:
    @pytest.fixture
    def scene(self):
        decomposer = untrained("mulmon")
        random = np.random.default_rng(3)
        frames = random.integers(0, 256, (4, *decomposer.size, 3)).astype(np.uint8)
        viewpoints = random.normal(size=(4, decomposer.model.viewpoint_size)).astype(np.float32)

        def make(observed=None):
            return SceneExploration(decomposer, "scene", frames, viewpoints, None, None, observed)

        return make

    def test_all_views_are_of_one_posterior_and_drawn_from_their_viewpoints(self, scene):
        exploration = scene()
        moments = [exploration.moment(v) for v in range(4)]
        for moment in moments:
            np.testing.assert_array_equal(moment.posterior.mean, moments[0].posterior.mean)
            masks, _ = moment.model.decode(moment.posterior.mean[None], {"viewpoint": moment.state["viewpoint"]})
            np.testing.assert_allclose(moment.draw(moment.posterior.mean[None]).masks[0], masks[0, :, 0], atol=1e-6)
        assert not np.allclose(*(m.draw(m.posterior.mean[None]).masks for m in moments[:2]))

    def test_refinements_are_those_of_the_view(self, scene):
        exploration = scene()
        decodes = [exploration.moment(v).decodes for v in range(4)]
        assert [len(own) for own in decodes] == [exploration.decomposer.model.decodes()] * 4
        images = torch.from_numpy(exploration.images).movedim(-1, 1).float() / 255
        for v, own in enumerate(decodes):
            torch.testing.assert_close(own[0].mixture.frame[0], images[v])

    def test_views_that_were_not_observed_say_so(self, scene):
        exploration = scene(observed=(0, 2))
        assert "has not seen" in exploration.moment(1).note
        assert exploration.moment(2).note == ""
        with pytest.raises(InputError, match="has no view 4"):
            exploration.moment(4)


def test_other_models_draw_no_scenes():
    decomposer = untrained("iodine")
    with pytest.raises(InputError, match="does not draw scenes"):
        SceneExploration(decomposer, "scene", np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 3), np.float32))
