"""Which picture a video is drawn over: the user's, its own, or the model's; and what is refused."""

import json

import numpy as np
import pytest
import torch

import scenewise as sw
from scenewise.checkpoint import Card, Reference, save_model
from scenewise.config import build
from scenewise.decompose import Decomposer
from scenewise.decompose.background import agreement, shows
from scenewise.errors import InputError
from scenewise.media import VideoWriter
from scenewise.models.provide_windows import ProvideWindows
from scenewise.models.provide_windows_config import PRESETS, WindowsConfig

SIZE, FRAMES = (48, 80), 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def wall(seed):
    """A picture of soft spots, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(60, 200, (6, 10, 3), np.uint8)
    image = torch.from_numpy(coarse).permute(2, 0, 1)[None].float()
    return torch.nn.functional.interpolate(image, SIZE, mode="bilinear")[0].permute(1, 2, 0).numpy().astype(np.uint8)


def filmed(picture, frames=FRAMES, stands=0):
    """A black square that goes right before a picture, and a white one that stands for the first frames."""
    images = np.repeat(picture[None], frames, 0)
    for t in range(frames):
        left = 2 * t % 64
        images[t, 8:20, left : left + 12] = 0
        if t < stands:
            images[t, 30:40, 30:40] = 255
    return images


def written(path, images):
    with VideoWriter(path, images.shape[1:3], 10) as writer:
        for image in images:
            writer.write(image)
    return path


@pytest.fixture
def model():
    """Untrained; it keeps the picture of wall 0."""
    torch.manual_seed(0)
    network = ProvideWindows(build(WindowsConfig, {**PRESETS["tiny"], "size": [24, 40]}, "test"))
    small = torch.from_numpy(wall(0)).permute(2, 0, 1)[None].float() / 255
    network.picture.copy_(torch.nn.functional.avg_pool2d(small, 2)[0])
    return Decomposer(network, Card(validated=Reference(mse=0.1, mse_high=0.1)), "windows")


def drawn_over(result):
    """The first frame's slot 0, floats (h, w, 3)."""
    return next(iter(result)).appearance[0] / 255


def apart(image, other):
    """Mean absolute difference; slot 0 of an untrained model adds a little light to its picture."""
    return float(np.abs(image - other).mean())


def halved(picture):
    return picture.reshape(24, 2, 40, 2, 3).mean((1, 3)) / 255


def test_another_scene_is_drawn_over_its_own_picture_and_that_is_said(model, tmp_path):
    result = model.decompose(written(tmp_path / "clip.mp4", filmed(wall(1))))
    assert apart(drawn_over(result), halved(wall(1))) < 0.05
    result.save(tmp_path / "out", ["slots"])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["settings"]["input"]["background"] == "video"
    assert sum("own background picture" in problem for problem in record["problems"]) == 1


def test_arrays_have_a_picture_of_their_own_too(model):
    result = model.decompose(filmed(wall(1)))
    assert apart(drawn_over(result), halved(wall(1))) < 0.05
    assert result.clip.reading["background"] == "video"


def test_it_is_the_picture_of_the_whole_file_whatever_part_is_asked_for(model, tmp_path):
    file = written(tmp_path / "clip.mp4", filmed(wall(1), stands=30))
    result = model.decompose(file, stop=10)  # in these the white square always stands there
    assert apart(drawn_over(result)[15:20, 15:20], halved(wall(1))[15:20, 15:20]) < 0.15


def test_the_model_keeps_its_picture_of_the_same_scene_where_that_is_the_emptier(model, tmp_path):
    bright = (wall(0) * 0.9).astype(np.uint8)
    result = model.decompose(written(tmp_path / "clip.mp4", filmed(bright, stands=FRAMES)))
    assert next(iter(result)).labels[17, 17] != 0, "the white square is no background"
    assert result.clip.reading["background"] == "model"
    assert any("shows this scene" in problem for problem in result.clip.problems)


def test_another_scene_of_the_same_kind_is_drawn_over_its_own_picture(model, tmp_path):
    """Two belts of one colour: what differs are scratches, in other places."""
    scratches = np.random.default_rng(3).integers(-12, 13, (2, 24, 40, 1)).repeat(2, 1).repeat(2, 2)
    one, other = (np.clip(128 + change, 0, 255).repeat(3, -1).astype(np.uint8) for change in scratches)
    model.model.picture.copy_(torch.from_numpy(halved(one)).permute(2, 0, 1))
    again = model.decompose(written(tmp_path / "again.mp4", filmed(one, stands=FRAMES)))
    next(iter(again))
    assert again.clip.reading["background"] == "model"
    result = model.decompose(written(tmp_path / "clip.mp4", filmed(other)))
    next(iter(result))
    assert result.clip.reading["background"] == "video"


def test_the_emptier_picture_of_the_video_wins_in_the_same_scene(model, tmp_path):
    model.model.picture[:, 4:8, 4:8] = 0.0  # something that stood there all through the training
    result = model.decompose(written(tmp_path / "clip.mp4", filmed(wall(0))))
    next(iter(result))
    assert result.clip.reading["background"] == "video"


def test_frames_one_by_one_are_drawn_over_the_models_picture(model):
    result = model.decompose(iter(filmed(wall(0))), name="camera")
    next(iter(result))
    assert result.clip.reading["background"] == "model"


def test_too_few_frames_of_another_scene_are_told(model):
    result = model.decompose(filmed(wall(1), frames=6))
    next(iter(result))
    assert result.clip.reading["background"] == "model"
    assert any("--background" in problem for problem in result.clip.problems)


@pytest.mark.parametrize("form", ["file", "array", "sw.background"])
def test_a_given_picture_is_used(model, tmp_path, form):
    from PIL import Image

    Image.fromarray(wall(1)).save(tmp_path / "empty.png")
    given = {"file": tmp_path / "empty.png", "array": wall(1), "sw.background": sw.background(filmed(wall(1)))}[form]
    result = model.decompose(filmed(wall(1), stands=FRAMES), background=given)
    assert apart(drawn_over(result), halved(wall(1))) < 0.05
    assert result.clip.reading["background"] == "given"
    assert not result.clip.problems


def test_a_given_picture_of_the_whole_frame_is_cut_to_the_part_that_is_shown(model, tmp_path):
    file = written(tmp_path / "clip.mp4", filmed(wall(1)))
    result = model.decompose(file, background=wall(1), crop=(24, 40, 24, 40))
    assert apart(drawn_over(result), wall(1)[24:, 40:] / 255) < 0.05


def test_pictures_of_another_shape_or_scene_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="is 80x80; the frames are 80x48"):
        next(iter(model.decompose(filmed(wall(0)), background=np.zeros((80, 80, 3), np.uint8))))
    with pytest.raises(InputError, match="shows another scene"):
        next(iter(model.decompose(filmed(wall(0)), background=wall(5)[::-1, ::-1])))
    pale = [np.asarray(80 + 0.4 * wall(seed).astype(float), np.uint8) for seed in (0, 5)]
    with pytest.raises(InputError, match="shows another scene"):  # though almost everything is of nearly one colour
        next(iter(model.decompose(filmed(pale[0]), background=pale[1][::-1, ::-1].copy())))
    with pytest.raises(InputError, match="is not a picture"):
        next(iter(model.decompose(filmed(wall(0)), background=tmp_path / "none.png")))
    with pytest.raises(InputError, match="expected an image"):
        next(iter(model.decompose(filmed(wall(0)), background=np.zeros(3))))


def test_a_moving_camera_has_none(model, tmp_path):
    texture = np.random.default_rng(0).integers(0, 256, (24, 60, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    panned = np.stack([texture[:96, 3 * t : 3 * t + 160] for t in range(60)])
    with pytest.raises(InputError, match="the camera moves"):
        next(iter(model.decompose(written(tmp_path / "pan.mp4", panned))))


def test_models_without_one_refuse_a_background(oracle):
    with pytest.raises(InputError, match="draws over no background"):
        oracle.decompose(filmed(wall(0)), background=wall(0))
    with pytest.raises(InputError, match="draws over no background"):
        oracle.initial_state(background=wall(0))


def test_a_stream_begins_over_a_given_picture(model):
    state = model.initial_state(2, background=wall(1))
    assert state["background"].shape == (2, 3, 24, 40)
    np.testing.assert_allclose(state["background"][1].permute(1, 2, 0), halved(wall(1)), atol=0.01)


def test_the_video_that_was_trained_on_keeps_its_picture(model, tmp_path):
    file = written(tmp_path / "clip.mp4", filmed(wall(1)))
    run = tmp_path / "run"
    folder = save_model(model.model, run / "model", Card(name="windows"))
    recipe = {"data": {"source": "footage", "settings": {"files": [str(file)]}}, "training": {"steps": 1}}
    (run / "recipe.yaml").write_text(json.dumps({"recipe": recipe}))
    result = sw.load(folder, "cpu").decompose(file)
    assert 2 * apart(drawn_over(result), halved(wall(0))) < apart(drawn_over(result), halved(wall(1)))
    assert (result.clip.reading["background"], result.clip.problems) == ("model", [])


def test_agreement_is_the_share_of_pixels_under_the_light_of_the_frame():
    picture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    frame = 0.8 * picture + 0.05
    frame[:, :4] = torch.rand(3, 4, 16, generator=torch.Generator().manual_seed(1))  # a quarter shows something else
    expected = ((frame[:, :4] - (0.8 * picture + 0.05)[:, :4]).abs().amax(0) < 0.1).float().mean() / 4 + 0.75
    assert agreement(picture, frame[None]) == pytest.approx(float(expected), abs=0.01)


def _floor(downwards: bool) -> torch.Tensor:
    """A smooth grey floor (3, 24, 40), a little brighter at one side or at the bottom."""
    rise = torch.linspace(0, 0.12, 24).view(1, -1, 1) if downwards else torch.linspace(0, 0.12, 40).view(1, 1, -1)
    return (0.45 + rise).expand(3, 24, 40).clone()


def test_a_smooth_floor_is_known_by_where_it_is_bright():
    picture, frames = _floor(downwards=True), 0.95 * _floor(downwards=True)[None].repeat(4, 1, 1, 1)
    frames[:, :, 5:12, 8:16] = torch.tensor([0.8, 0.1, 0.1]).view(3, 1, 1)
    assert shows(picture, frames)
    assert not shows(_floor(downwards=False), frames)
