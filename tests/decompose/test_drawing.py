"""Results of any size: what the model finds does not change, only what it is drawn on; and how uncertain it is."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import scenewise as sw
from scenewise.config import build
from scenewise.data import Sample
from scenewise.decompose import Decomposer, open_clip
from scenewise.decompose.clip import ClipFrame, checked_size
from scenewise.decompose.drawing import SAMPLES, SampleSpread, draw, scaled, scaled_masks
from scenewise.decompose.result import Request
from scenewise.decompose.scores import LARGEST_SCORED
from scenewise.errors import InputError
from scenewise.media import VideoWriter, decode_rle, read_palette_png, read_video
from scenewise.metrics import adjusted_rand_index
from scenewise.models import MODELS

LARGE = (64, 64)


@pytest.fixture(scope="module")
def trained():
    return sw.load("provide-balls-colour", device="cpu")


@pytest.fixture(scope="module")
def sample():
    from scenewise.data import SOURCES

    found = SOURCES.get("balls-colour")(split="test").sample(3)
    return Sample(found.frames[:6], found.ids[:6])


def rows_of(path):
    return np.array([[float(cell) for cell in row] for row in csv.reader(path.open())])


# -- sizes that may be asked for --------------------------------------------------------------------------------------


def test_sizes_are_one_or_two_numbers():
    assert checked_size(None) is None
    assert checked_size(8) == (8, 8)
    assert checked_size((np.int64(2048), 9)) == (2048, 9)


@pytest.mark.parametrize("size", [7, 2049, 0, (64, 7), (64,), (64, 64, 3), 64.0, "64", True])
def test_other_sizes_are_named_with_their_range(tiny, video, size):
    with pytest.raises(InputError, match=r"size: .* \[8, 2048\]; found"):
        tiny.decompose(video, size=size)
    with pytest.raises(InputError, match=r"size: .* \[8, 2048\]; found"):
        tiny.predict(video, 2, 2, size=size)


# -- drawing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (8, 8), (8, 40)])
def test_masks_still_sum_to_one(size):
    masks = torch.rand(5, 16, 16).softmax(0)
    found = scaled_masks(masks, size)
    assert found.shape == (5, *size)
    torch.testing.assert_close(found.sum(0), torch.ones(size))
    assert 0 <= found.min() <= found.max() <= 1


def test_scaling_is_aligned_with_the_pixels_edges():
    ramp = torch.arange(16.0).expand(16, 16) + 0.5  # the value is the place
    places = (torch.arange(48) + 0.5) / 3
    torch.testing.assert_close(scaled(ramp, (48, 48))[0, 2:-2], places[2:-2])


def test_shrinking_takes_every_pixel_into_account():
    stripes = torch.eye(8)[0].repeat(8).expand(64, 64)  # one bright column in eight, between what two pixels would see
    assert scaled(stripes, (8, 8))[:, 1:-1].sub(1 / 8).abs().max() < 0.02


def test_a_drawing_is_the_sum_of_its_slots(tiny, video):
    part, _ = tiny.step(video[0])
    found = draw(ClipFrame(0, None, np.zeros((40, 24, 3), np.uint8), own=video[0]), part)
    whole = (found.masks[..., None] * found.appearance / 255).sum(0)
    np.testing.assert_allclose(found.reconstruction.clip(0, 1), whole, atol=0.01)
    shares = scaled_masks(part.responsibilities[0, 0, :, 0], (40, 24))
    np.testing.assert_array_equal(found.labels, shares.argmax(0))
    found = draw(ClipFrame(0, None, np.zeros((40, 24, 3), np.uint8), own=video[0]), part.labelled("masks"))
    np.testing.assert_array_equal(found.labels, found.masks.argmax(0))


# -- frames of a result -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (40, 24), (8, 8), (8, 30)])
def test_every_array_has_the_size(tiny, video, ids, size):
    result = tiny.decompose(Sample(np.moveaxis(video, -1, 1), ids), size=size)
    assert result.size == result.clip.size == size
    frame = next(iter(result))
    for name in ("image", "labels", "ids", "uncertainty", "picture", "reconstruction"):
        assert getattr(frame, name).shape[:2] == size, name
    assert frame.masks.shape == (3, *size)
    assert frame.appearance.shape == (3, *size, 3)
    np.testing.assert_allclose(frame.masks.sum(0), 1, atol=1e-5)
    assert frame.compared[0].shape == (16, 16, 3)


def test_nothing_else_changes(tiny, video):
    for own, large in zip(tiny.decompose(video, seed=4), tiny.decompose(video, seed=4, size=50), strict=True):
        assert (own.mse, own.kl, own.log_likelihood) == (large.mse, large.kl, large.log_likelihood)
        np.testing.assert_array_equal(own.mean, large.mean)
        np.testing.assert_array_equal(own.compared[1], large.compared[1])
        assert large.uncertainty.mean() == pytest.approx(own.uncertainty.mean(), rel=0.05)


def test_the_models_own_size_is_no_scaling(tiny, video):
    for own, same in zip(tiny.decompose(video), tiny.decompose(video, size=(16, 16)), strict=True):
        np.testing.assert_array_equal(own.masks, same.masks)
        np.testing.assert_array_equal(own.appearance, same.appearance)
        assert own.own is same.own is None


def test_labels_agree_with_those_of_the_models_size(trained, sample):
    own, large = trained.decompose(sample, seed=1), trained.decompose(sample, seed=1, size=256)
    upsampled = own.labels.repeat(4, 1).repeat(4, 2)
    assert (large.labels == upsampled).mean() >= 0.97
    np.testing.assert_array_equal(own.mse, large.mse)


def test_images_are_the_sources_pixels_and_the_model_sees_its_own(oracle, video):
    source = video.repeat(4, 1).repeat(4, 2)
    rng = np.random.default_rng(0)
    source = np.where(source == 0, rng.integers(0, 60, source.shape, dtype=np.uint8), source)
    for t, frame in enumerate(oracle.decompose(source, size=LARGE)):
        np.testing.assert_array_equal(frame.image, source[t])
        np.testing.assert_array_equal(frame.compared[0], next(iter(open_clip(source[t][None], (3, 16, 16)))).image)


def test_small_results_leave_the_model_its_detail(tiny, video):
    np.testing.assert_array_equal(tiny.decompose(video, size=8).mse, tiny.decompose(video).mse)


def kinds(video, folder):
    tensor = torch.from_numpy(video).permute(0, 3, 1, 2)
    return {
        "array": video,
        "tensor": tensor,
        "list": list(video),
        "iterator": iter(video),
        "tensors": list(tensor / 255),
        "sample": Sample(tensor.numpy()),
    }


@pytest.mark.parametrize("kind", kinds(np.zeros((1, 1, 1, 3), np.uint8), None))
def test_all_kinds_of_videos(tiny, video, tmp_path, kind):
    result = tiny.decompose(kinds(video, tmp_path)[kind], size=(32, 48))
    np.testing.assert_array_equal(result.collect("image")[3], video[3].repeat(2, 0).repeat(3, 1))


def test_files_and_readers_at_yet_another_size(tiny, tmp_path):
    with VideoWriter(tmp_path / "in.mp4", (96, 128), 10) as writer:
        for t in range(4):
            image = np.zeros((96, 128, 3), np.uint8)
            image[20:60, 10 * t : 10 * t + 40] = (200, 40, 90)
            writer.write(image)
    own = tiny.decompose(tmp_path / "in.mp4")
    result = tiny.decompose(tmp_path / "in.mp4", size=(48, 64), crop=(0, 0, 96, 128), every=2)
    assert [frame.index for frame in result] == [0, 2]
    assert result.labels.shape == (2, 48, 64)
    assert result.clip.source_size == (96, 128)
    np.testing.assert_allclose(result.mse, own.mse[::2][:2], rtol=0.3)  # the second saw other frames before
    small = tiny.decompose(read_video(tmp_path / "in.mp4", size=(24, 32)), size=64)
    assert small.labels.shape == (4, 64, 64)


def test_frames_that_may_not_be_scaled_for_the_model(tiny, video):
    with pytest.raises(InputError, match=r"the model takes frames of \(H, W\) = \(16, 16\)"):
        list(tiny.decompose(video.repeat(2, 1).repeat(2, 2), size=64, resize=False))
    assert tiny.decompose(video, size=64, resize=False).labels.shape == (12, 64, 64)


def test_a_clip_knows_its_size(tiny, video):
    clip = open_clip(video, tiny.frame_shape, size=24)
    assert clip.size == (24, 24)
    assert tiny.decompose(clip).labels.shape == tiny.decompose(clip, size=24).labels.shape == (12, 24, 24)
    with pytest.raises(InputError, match=r"opened at \(24, 24\)"):
        tiny.decompose(clip, size=25)


def test_a_stream_has_the_size_of_its_request(tiny, video):
    assert next(tiny.stream(video, Request(size=(20, 30)))).labels.shape == (20, 30)


def test_steps_stay_at_the_models_size(tiny, video):
    with pytest.raises(InputError, match="takes frames"):
        tiny.step(video[0].repeat(2, 0).repeat(2, 1))


def test_models_of_one_channel(video, tmp_path):
    from scenewise.config import build
    from scenewise.models.contract import MODELS

    kind = MODELS.get("provide")
    grey = Decomposer(kind(build(kind.config_class, {**kind.presets["tiny"], "channels": 1}, "preset")))
    frame = next(iter(grey.decompose(video, size=40)))
    assert frame.image.shape == frame.picture.shape == (40, 40, 3)
    assert frame.reconstruction.shape == (40, 40, 1)
    assert frame.mse == next(iter(grey.decompose(video))).mse


# -- prediction -------------------------------------------------------------------------------------------------------


def test_predicted_frames_stand_beside_the_true_future_at_the_size(oracle, video, tmp_path):
    own, large = oracle.predict(video, 5, 10), oracle.predict(video, 5, 10, size=LARGE)
    for one, other in zip(own, large, strict=True):
        assert other.labels.shape == LARGE
        np.testing.assert_array_equal(one.mse, other.mse)
        if one.truth is not None:
            np.testing.assert_array_equal(other.truth, one.truth.repeat(4, 0).repeat(4, 1))
    own.save(tmp_path / "own", ["slots"])
    large.save(tmp_path / "large", ["slots", "overlay"])
    assert own.summary.scores == large.summary.scores


# -- files and scores -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(trained, sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    results = {}
    for name, size in (("own", None), ("large", 256)):
        results[name] = trained.decompose(sample, size=size)
        results[name].save(folder / name)
    return folder, results


def test_every_file_has_the_size(saved):
    folder, results = saved
    labels = results["large"].labels
    ids = np.array(results["large"].summary.track_ids)
    image = read_palette_png(folder / "large" / "masks" / "00002.png")
    np.testing.assert_array_equal(image, ids[labels[2]])
    with np.load(folder / "large" / "labels.npz") as archive:
        np.testing.assert_array_equal(archive["labels"], labels)
    annotations = json.loads((folder / "large" / "masks.json").read_text())["annotations"]
    for entry in annotations:  # masks are in pixels of the source, each of which is four by four of the results
        mask = decode_rle(entry["segmentation"])
        middles = labels[entry["image_id"] - 1, 2::4, 2::4]
        np.testing.assert_array_equal(mask, ids[middles] == entry["track_id"])
    assert next(iter(read_video(folder / "large" / "overlay.mp4"))).image.shape == (272, 3 * 256 + 32, 3)
    assert "256 × 256 pixels, scaled from the model&#39;s 64 × 64" in (folder / "large" / "report.html").read_text()
    assert "scaled from" not in (folder / "own" / "report.html").read_text()


def test_the_record_holds_both_sizes(saved):
    for name, size in (("own", 64), ("large", 256)):
        taken = json.loads((saved[0] / name / "run.json").read_text())["settings"]["input"]
        assert (taken["size"], taken["model_size"]) == ([size, size], [64, 64])


def test_boxes_are_in_source_pixels_at_any_size(saved):
    own, large = (
        {(row[0], row[1]): row for row in rows_of(saved[0] / name / "tracks.csv")} for name in ("own", "large")
    )
    wide = [key for key in own if own[key][4] * own[key][5] > 16]
    assert wide
    differences = np.array([np.abs(own[key][2:6] - large[key][2:6]) for key in wide])
    assert np.median(differences) <= 1
    assert rows_of(saved[0] / "large" / "tracks.csv")[:, 2:6].max() <= 64


def test_scores_hold_at_any_size(saved):
    own, large = (
        {(row["protocol"], row["metric"]): row["value"] for row in result.summary.scores}
        for result in saved[1].values()
    )
    assert own.keys() == large.keys()
    assert large["provide", "F-ARI"] == pytest.approx(own["provide", "F-ARI"], abs=0.02)
    assert large["provide", "MSE"] == own["provide", "MSE"]
    summaries = [result.summary for result in saved[1].values()]
    assert summaries[0].mse == summaries[1].mse
    assert summaries[0].verdict == summaries[1].verdict == "known footage"


def test_large_results_are_scored_on_a_grid(oracle, video, ids, tmp_path):
    given = Sample(np.moveaxis(video, -1, 1), ids)
    result = oracle.decompose(given, size=2 * LARGEST_SCORED)
    result.save(tmp_path / "out", [])
    rows = {(row["protocol"], row["metric"]): row for row in result.summary.scores}
    truth = result.collect("ids")
    whole = adjusted_rand_index(result.labels, truth, foreground=True, scope="video").mean
    assert rows["savi", "F-ARI"]["value"] == pytest.approx(whole, abs=0.005)
    assert rows["savi", "F-ARI"]["note"] == "one pixel in 2 of each row and column"
    assert not rows["provide", "MSE"]["note"]


def test_pixels_belong_to_who_explains_them_and_objects_have_the_model_s_numbers():
    masks, shares = torch.zeros(1, 1, 3, 1, 4, 4), torch.zeros(1, 1, 3, 1, 4, 4)
    masks[0, 0, 1], masks[0, 0, 0] = 0.6, 0.4
    shares[0, 0, 2, 0, :, 2:] = shares[0, 0, 0, 0, :, :2] = 1.0
    latent, each = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1)
    appearance, tracks = torch.zeros(1, 1, 3, 3, 4, 4), torch.tensor([[[0, -1, 7]]])
    part = sw.Decomposition(masks, appearance, *[latent] * 4, each, each, responsibilities=shares, tracks=tracks)
    for size, own in ((4, None), (8, np.zeros((4, 4, 3), np.uint8))):
        frame = draw(ClipFrame(0, 0.0, np.zeros((size, size, 3), np.uint8), None, own), part)
        assert np.unique(frame.labels[:, : size // 2]).tolist() == [0]
        assert np.unique(frame.labels[:, size // 2 :]).tolist() == [2]
        assert frame.track_ids.tolist() == [0, 0, 7]


SIZE = (16, 24)


class Shelf:
    """Draws one number per slot over the whole image; samples are their latents."""

    def decode(self, latents, state):
        self.latents = latents
        masks = torch.full((len(latents), latents.shape[1], 1, *SIZE), 1 / latents.shape[1])
        return masks, latents[..., :3, None, None].expand(-1, -1, -1, *SIZE)


def test_it_is_the_standard_deviation_over_samples():
    shelf, mean = Shelf(), torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    found = SampleSpread(shelf, mean, torch.full_like(mean, -2.0), {}, 0, 7, SIZE)()
    samples = shelf.latents.numpy()[..., :3].mean(1)  # (S, C): slots share every pixel
    assert samples.shape == (SAMPLES, 3)
    expected = np.sqrt(samples.var(0, ddof=1).mean())
    np.testing.assert_allclose(found, np.full(SIZE, expected), rtol=1e-5)
    scale = (shelf.latents - mean).std()
    assert 0.5 < scale / np.exp(-1) < 1.5


def test_frames_do_not_share_their_samples():
    shelf, mean = Shelf(), torch.zeros(2, 4)
    drawn = []
    for seed, index in ((0, 1), (0, 2), (1, 1), (0, 1)):
        SampleSpread(shelf, mean, mean, {}, seed, index, SIZE)()
        drawn.append(shelf.latents)
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:3])
    assert torch.equal(drawn[0], drawn[3])


@pytest.fixture(params=["provide", "provide-windows"])
def decomposer(request):
    kind = MODELS.get(request.param)
    looks = {"budget": {"first_looks": 3}} if request.param == "provide" else {}
    config = build(kind.config_class, kind.presets["tiny"] | looks, "tiny")
    torch.manual_seed(1)
    model = kind(config)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, p[0].numel() ** -0.5)
    return Decomposer(model, name="untrained")


def test_without_variance_samples_are_what_the_frame_was_drawn_from(decomposer):
    """The first frame's last look has an h of the looks before it; windows move to the frame, the wall to its light."""
    model, (channels, height, width) = decomposer.model, decomposer.frame_shape
    images = np.zeros((4, height, width, channels), np.uint8)
    for t, image in enumerate(images):
        image[2:9, 1 + t : 8 + t] = 220
    state, drawn = decomposer.initial_state(seed=3), []
    engine = model.engine
    kind = type(engine)

    def watched(self, context, posterior, *others):
        drawn.append((context.time[0], getattr(context, "scene", None)))
        return kind.decode(engine, context, posterior, *others)

    Watch = type("Watch", (kind,), {"decode": watched})
    model.engine = Watch(**vars(engine))
    moved = []
    for image in images:
        before = state
        _, state = decomposer.step(image, before)
        drawing = model.drawing_state(before, state)
        hidden, scene = drawn[-1]
        torch.testing.assert_close(drawing["hidden"], hidden)
        moved.append(not torch.equal(hidden, before["hidden"]))
        if scene is not None:
            torch.testing.assert_close(drawing["window"], scene.windows)
            torch.testing.assert_close(drawing["on"], scene.on)
    assert moved[0]


def test_windows_are_drawn_where_the_frame_has_them():
    kind = MODELS.get("provide-windows")
    torch.manual_seed(1)
    model = Decomposer(kind(build(kind.config_class, kind.presets["tiny"], "tiny")), name="untrained")
    channels, height, width = model.frame_shape
    image = np.zeros((height, width, channels), np.uint8)
    image[2:9, 3:10] = 220
    before = model.initial_state()
    part, after = model.step(image, before)
    masks, appearance = model.model.decode(part.mean[:, 0], model.model.drawing_state(before, after))
    torch.testing.assert_close(masks, part.masks[:, 0])
    torch.testing.assert_close(appearance, part.appearance[:, 0])
    assert int(after["on"].sum()) > 1
