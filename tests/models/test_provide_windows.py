"""Slots in windows: born on what the background does not explain, on the object while it is there, gone with it."""

from __future__ import annotations

import pytest
import torch

from scenewise.config import build
from scenewise.errors import InputError
from scenewise.models.provide_windows import ProvideWindows
from scenewise.models.provide_windows_config import PRESETS, WindowsConfig
from scenewise.observation import Observation

SIZE = (24, 32)


def _model(**settings) -> ProvideWindows:
    torch.manual_seed(0)
    values = {**PRESETS["tiny"], "size": list(SIZE), "slots": 4, **settings}
    return ProvideWindows(build(WindowsConfig, values, "test")).eval()


def _background() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 4, 5, generator=generator) * 0.4 + 0.3
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")


def _with_square(picture: torch.Tensor, x: int, y: int, side: int = 7) -> torch.Tensor:
    frame = picture.clone()
    frame[..., y : y + side, x : x + side] = torch.tensor([0.95, 0.05, 0.6]).view(3, 1, 1)
    return frame


def _beginning(model: ProvideWindows, batch: int = 1) -> dict[str, torch.Tensor]:
    return model.initial_state(batch) | {"background": _background().expand(batch, -1, -1, -1).clone()}


def test_a_slot_is_born_on_what_the_background_does_not_explain() -> None:
    model, picture = _model(), _background()
    state = _beginning(model)
    parts = model.open_frame(_with_square(picture, 10, 8), state)
    assert parts["on"].tolist() == [[1, 1, 0, 0]]
    assert parts["track"].tolist() == [[0, 1, -1, -1]]
    x, y, wide, high = parts["window"][0, 1].tolist()
    assert x == pytest.approx((10 + 16) / 31 - 1, abs=1e-5)
    assert y == pytest.approx((8 + 14) / 23 - 1, abs=1e-5)
    assert torch.tensor([wide, high]).exp().tolist() == pytest.approx([7 / 32, 7 / 24], abs=1e-5)
    assert parts["hidden"][0, 1].abs().sum() > 0
    assert not parts["hidden"][0, 2:].any()


def test_nothing_is_born_on_the_background_under_another_light() -> None:
    model, picture = _model(), _background()
    part, state = model.step(picture * 0.9 + 0.02, _beginning(model))
    assert state["on"].tolist() == [[1, 0, 0, 0]]
    assert int(part.labels.max()) == 0
    assert part.tracks.tolist() == [[[0, -1, -1, -1]]]


def test_a_plain_backdrop_is_the_colour_that_most_of_the_frame_has() -> None:
    model = _model(windows={"backdrop": "plain"})
    assert not model.takes_background, "it needs no picture"
    for level in (0.0, 0.4):
        frame = _with_square(torch.full((1, 3, *SIZE), level), 10, 8)
        state = model.initial_state()
        parts = model.open_frame(frame, state)
        assert parts["on"].tolist() == [[1, 1, 0, 0]]
        assert bool((parts["background"] == level).all())
        x, y = parts["window"][0, 1, :2].tolist()
        assert (x, y) == pytest.approx(((10 + 16) / 31 - 1, (8 + 14) / 23 - 1), abs=1e-5)


def test_a_slot_that_lost_its_object_starts_anew_under_its_track() -> None:
    model, picture = _model(), _background()
    frame = _with_square(picture, 10, 8)
    _, state = model.step(frame, _beginning(model))
    begun = model.open_frame(frame, state | {"lost": torch.zeros(1, 4, dtype=torch.bool)})
    assert torch.equal(begun["hidden"], state["hidden"] * state["on"].unsqueeze(2))
    lost = torch.tensor([[False, True, False, False]])
    again = model.open_frame(frame, state | {"lost": lost})
    first = _beginning(model)
    born = model.open_frame(frame, first)
    torch.testing.assert_close(again["hidden"][0, 1], born["hidden"][0, 1])
    assert not again["cell"][0, 1].any()
    assert again["track"].tolist() == state["track"].tolist()


def test_a_model_that_draws_nothing_well_has_lost_its_objects(trained: ProvideWindows) -> None:
    frames = [_with_square(_background(), 12, 9)] * 2
    assert _streamed(_model(), frames)[-1][1]["lost"].tolist() == [[False, True, False, False]]
    assert not _streamed(trained, frames)[-1][1]["lost"].any()


def test_pixels_that_differ_less_than_faintly_are_the_wall_s() -> None:
    frame = _with_square(_background(), 12, 9)
    part, _ = _model(windows={"faint": 1.0}).step(frame, _beginning(_model()))
    assert int(part.labels.max()) == 0


def _trained() -> ProvideWindows:
    """A model that has learned for seconds to draw a square over one background."""
    model = _model().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    picture = _background()
    for step in range(60):
        x, y = torch.randint(0, 20, (2,), generator=generator).tolist()
        frames = torch.stack([_with_square(picture[0], min(x + t, 25), min(y, 17)) for t in range(2)]).unsqueeze(0)
        loss = model.loss(model(Observation(frames, background=picture), seed=step).terms).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2000.0)
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def trained() -> ProvideWindows:
    return _trained()


def _streamed(model: ProvideWindows, frames: list[torch.Tensor]):
    state, parts = _beginning(model), []
    for frame in frames:
        part, state = model.step(frame, state)
        parts.append((part, state))
    return parts


def test_a_slot_follows_its_object_and_is_off_with_it(trained: ProvideWindows) -> None:
    picture = _background()
    frames = [_with_square(picture, 2 + 2 * t, 8) for t in range(5)] + [picture] + [_with_square(picture, 25, 16)] * 2
    parts = _streamed(trained, frames)
    for t in range(5):
        owner = parts[t][0].labels[0, 0, 8:15, 2 + 2 * t : 9 + 2 * t]
        assert (owner == 1).float().mean() > 0.8, t
        assert (parts[t][0].labels[0, 0] == 1).sum() < 1.5 * 49
        assert parts[t][0].tracks[0, 0, 1] == 1
    assert parts[5][1]["on"].tolist() == [[1, 0, 0, 0]]
    assert int(parts[5][0].labels.max()) == 0
    assert parts[6][0].tracks[0, 0].tolist() == [0, -1, 2, -1], "the first slot waits for its object"


def test_windows_begin_where_slots_own_pixels(trained: ProvideWindows) -> None:
    _, state = _streamed(trained, [_with_square(_background(), 12, 9)] * 3)[-1]
    x, y, wide, high = state["window"][0, 1].tolist()
    assert x == pytest.approx((12 + 18) / 31 - 1, abs=0.1)
    assert y == pytest.approx((9 + 15) / 23 - 1, abs=0.1)
    assert torch.tensor([wide, high]).exp().tolist() == pytest.approx([7 / 32, 7 / 24], rel=0.35)


def test_predicted_windows_go_on_as_they_moved(trained: ProvideWindows) -> None:
    _, state = _streamed(trained, [_with_square(_background(), 2 + 2 * t, 8) for t in range(5)])[-1]
    predicted, after = trained.predict(state, 3)
    assert predicted.responsibilities is None
    moved = (after["window"] - state["window"])[0, 1]
    assert float(moved[0]) == pytest.approx(3 * 2 * 2 / 31, rel=0.4)  # three frames, two pixels of 31 steps over 2
    assert float(moved[1]) == pytest.approx(0, abs=0.1)


def test_predicted_frames_are_nearer_than_the_last_one_repeated(trained: ProvideWindows) -> None:
    frames = [_with_square(_background(), 2 + 2 * t, 8) for t in range(10)]
    predicted, _ = trained.predict(_streamed(trained, frames[:5])[-1][1], 5)
    future = torch.stack(frames[5:], 1)
    square = torch.stack([(frame - _background()).abs().sum(1) > 0.05 for frame in frames[4:]], 1)
    error = (predicted.reconstruction - future).square().mean((0, 2, 3, 4))
    repeated = (frames[4].unsqueeze(1) - future).square().mean((0, 2, 3, 4))
    assert (error < 0.6 * repeated).all(), (error, repeated)
    for t in range(5):
        mask, true, last = predicted.labels[:, t] > 0, square[:, t + 1], square[:, 0]
        assert (mask & true).sum() / (mask | true).sum() > (last & true).sum() / (last | true).sum()


def test_a_scene_at_rest_is_predicted_as_it_was_seen(trained: ProvideWindows) -> None:
    frame = _with_square(_background(), 12, 9)
    predicted, after = trained.predict(_streamed(trained, [frame] * 3)[-1][1], 4)
    torch.testing.assert_close(
        predicted.reconstruction, frame.unsqueeze(1).expand(-1, 4, -1, -1, -1), atol=2e-3, rtol=0
    )
    assert not after["distance"].any()


def _moving(trained: ProvideWindows) -> ProvideWindows:
    """The trained model with a network for how objects move, whose weights are random and which counts as learned."""
    model = _model(windows={"dynamics": 8})
    weights = trained.state_dict()
    model.load_state_dict(model.adapt(weights))
    with torch.no_grad():
        model.dynamics.change[-1].bias.copy_(torch.tensor([0.4, -0.4]))  # each step is 0.025 longer than the last one
    return model


def test_a_network_for_how_objects_move_changes_nothing_but_predictions_and_those_once_it_has_learned(trained) -> None:
    frames = [_with_square(_background(), 2 + 2 * t, 8) for t in range(6)]
    model = _moving(trained)
    (part, state), (plain_part, plain_state) = _streamed(model, frames)[-1], _streamed(trained, frames)[-1]
    assert torch.equal(part.masks, plain_part.masks)
    assert all(torch.equal(state[name], tensor) for name, tensor in plain_state.items())
    assert set(state) - set(plain_state) == {"places", "lasted"}
    assert state["lasted"].tolist() == [[6, 6, 0, 0]]
    expected, _ = trained.predict(plain_state, 3)
    assert torch.equal(model.predict(state, 3)[0].masks, expected.masks)
    model.dynamics.learned.fill_(True)
    assert not torch.equal(model.predict(state, 3)[0].masks, expected.masks)


def test_objects_go_where_the_network_says_once_they_were_seen_for_six_frames(trained) -> None:
    frames = [_with_square(_background(), 2 + 2 * t, 8) for t in range(6)]
    model = _moving(trained)
    model.dynamics.learned.fill_(True)
    states = [state for _, state in _streamed(model, frames)]
    _, plain = trained.predict(states[4], 2)
    _, after = model.predict(states[4], 2)
    assert torch.equal(after["window"], plain["window"]), "five frames are too few"
    state = states[5]
    x = state["places"][0, 1, :, 0]
    assert x.tolist() == pytest.approx([(2 * t + 5) / 15.5 - 1 for t in range(6)], abs=0.02)
    _, after = model.predict(state, 2)
    step = state["places"][0, 1, -1] - state["places"][0, 1, -2]
    change = torch.tensor([0.4, -0.4]) / 16  # of the step, from frame to frame
    moved = 2 * step + 3 * change
    torch.testing.assert_close((after["window"] - state["window"])[0, 1, :2], moved)
    torch.testing.assert_close(after["distance"][0, 1], moved)
    torch.testing.assert_close(after["places"][0, 1, -1], state["places"][0, 1, -1] + moved)
    assert not after["distance"][0, 2:].any()


def test_where_objects_were_is_the_same_in_any_company_and_continued(trained) -> None:
    model = _moving(trained)
    model.dynamics.learned.fill_(True)
    videos = [[_with_square(_background(), 2 + (1 + b) * t, 8 + 4 * b) for t in range(7)] for b in range(2)]
    state = _beginning(model, 2)
    for frames in zip(*videos, strict=True):
        _, state = model.step(torch.cat(frames), state)
    predicted, _ = model.predict(state, 3)
    alone = _streamed(model, videos[0])[-1][1]
    torch.testing.assert_close(state["places"][0], alone["places"][0], atol=0.05, rtol=0)
    assert state["lasted"][0].tolist() == alone["lasted"][0].tolist()
    copied = {name: tensor.clone() for name, tensor in state.items()}
    assert torch.equal(model.predict(copied, 3)[0].masks, predicted.masks), "a saved state predicts the same"
    first, between = model.predict(state, 1)
    second, _ = model.predict(between, 2)
    assert torch.equal(torch.cat([first.masks, second.masks], 1), predicted.masks)


def test_how_objects_move_knows_no_number_of_slots(trained) -> None:
    model = _moving(trained)
    model.dynamics.learned.fill_(True)
    futures = []
    for slots in (4, 6):
        state = model.initial_state(1, slots) | {"background": _background()}
        for t in range(6):
            _, state = model.step(_with_square(_background(), 2 + 2 * t, 8), state)
        futures.append(model.predict(state, 2)[1]["window"][0, 1])
    torch.testing.assert_close(futures[0], futures[1], atol=0.1, rtol=0)


def test_how_objects_move_is_taken_over_where_it_fits(trained) -> None:
    one, other, smaller = _moving(trained), _moving(trained), _model(windows={"dynamics": 4})
    one.dynamics.learned.fill_(True)
    other.load_state_dict(other.adapt(one.state_dict()))
    assert other.dynamics.learned
    smaller.load_state_dict(smaller.adapt(one.state_dict()))
    assert not smaller.dynamics.learned
    plain = _model()
    plain.load_state_dict(plain.adapt(one.state_dict()))


def test_a_slot_that_cannot_draw_its_object_yet_holds_it_under_one_track() -> None:
    model = _model()  # draws nothing well
    parts = _streamed(model, [_with_square(_background(), 2 + 2 * t, 8) for t in range(5)])
    assert [part.tracks.max().item() for part, _ in parts] == [1] * 5
    x, y = parts[-1][1]["window"][0, 1, :2].tolist()
    assert x == pytest.approx((10 + 16) / 31 - 1, abs=0.1)
    assert y == pytest.approx((8 + 14) / 23 - 1, abs=0.1)


def test_labels_follow_responsibilities_for_frames_that_were_seen(trained: ProvideWindows) -> None:
    part, _ = _streamed(trained, [_with_square(_background(), 12, 9)])[-1]
    frame = _with_square(_background(), 12, 9)
    log_n = -0.5 * ((part.appearance - frame) / trained.config.sigma).square().sum(3)
    shares = (part.masks.squeeze(3).log() + log_n).softmax(2)
    strange = (frame - part.appearance[:, 0, 0]).norm(dim=1)  # slot 0 draws the wall
    owner = shares.argmax(2)[:, 0]
    limit = max(0.3 * strange[owner == 1].mean(), 0.04)
    certain = torch.where((owner == 1) & (strange < limit), 0, owner)
    for _ in range(2):  # pixels that differ clearly and lie within two of the object
        grown = torch.nn.functional.max_pool2d((certain == 1).float().unsqueeze(1), 3, 1, 1).squeeze(1) > 0
        certain = torch.where(grown & (certain == 0) & (strange > 0.08), 1, certain)
    expected = torch.nn.functional.one_hot(certain, 4).movedim(3, 1).float()
    expected = torch.where((certain != owner).unsqueeze(1), expected, shares[:, 0])
    torch.testing.assert_close(part.responsibilities[:, 0, :, 0], expected, atol=1e-4, rtol=1e-3)
    assert torch.equal(part.labels[:, 0], expected.argmax(1))
    assert (part.labels[0, 0, 9:16, 12:19] == 1).float().mean() > 0.8


def test_forward_over_a_given_background_is_the_fold_of_step(trained: ProvideWindows) -> None:
    picture = _background()
    frames = torch.stack([_with_square(picture[0], 2 + 3 * t, 8) for t in range(4)]).unsqueeze(0)
    whole = trained(Observation(frames, background=picture), seed=5).decomposition
    state = trained.initial_state(1, seed=5) | {"background": picture}
    for t in range(4):
        part, state = trained.step(frames[:, t], state)
        torch.testing.assert_close(part.masks[:, 0], whole.masks[:, t], rtol=1e-4, atol=1e-5)
        assert torch.equal(part.tracks[:, 0], whole.tracks[:, t])


def test_videos_of_a_batch_do_not_touch_each_other(trained: ProvideWindows) -> None:
    picture = _background()
    frames = torch.cat([_with_square(picture, 4, 4), picture, _with_square(_with_square(picture, 2, 2), 20, 12)])
    together, _ = trained.step(frames, _beginning(trained, 3))
    assert [int((t > 0).sum()) for t in together.tracks[:, 0]] == [1, 0, 2]
    alone, _ = trained.step(
        frames[2:], _beginning(trained, 1) | {"first_noise": _beginning(trained, 3)["first_noise"][2:]}
    )
    assert torch.equal(alone.tracks[0], together.tracks[2])


def test_weights_serve_another_size_and_the_picture_stays_with_the_scene(trained: ProvideWindows) -> None:
    larger = _model(size=[48, 64])
    larger.picture.fill_(0.25)
    larger.load_state_dict(larger.adapt(trained.state_dict()))
    assert bool((larger.picture == 0.25).all())
    assert larger.initial_state()["background"].shape == (1, 3, 48, 64)
    assert torch.equal(larger.birth.weight, trained.birth.weight)


def test_first_guesses_are_moved_in_training_alone() -> None:
    model, picture = _model(), _background()
    frame = _with_square(picture, 10, 8)
    state = _beginning(model)
    calm = model.open_frame(frame, state)["window"]
    model.train()
    moved = [model.open_frame(frame, state | {"seed": torch.tensor(seed)})["window"] for seed in (0, 0, 1)]
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])
    assert 0 < (moved[0] - calm)[0, 1].abs().max() < 1


def test_settings_of_other_decoders_and_wrong_pictures_are_refused() -> None:
    for settings, message in (
        ({"recompute": True}, "recompute"),
        ({"decoder": {"patch": 10}}, "divisible by 4"),
        ({"encoder": {"channels": 6}}, "divisible by 4"),
        ({"latent": 3}, "at least 4"),
        ({"mixture": "channel"}, "mixture"),
        ({"pooling": 5}, "pooling"),
    ):
        with pytest.raises(InputError, match=message):
            _model(**settings)
    frames = torch.rand(1, 2, 3, *SIZE)
    with pytest.raises(InputError, match="background"):
        Observation(frames, background=torch.rand(1, 3, 8, 8))


def test_an_object_that_was_hidden_comes_back_under_its_track(trained: ProvideWindows) -> None:
    picture = _background()
    here, there = _with_square(picture, 4, 8), _with_square(picture, 22, 8)
    parts = _streamed(trained, [here, here, picture, picture, picture, here, picture, there])
    assert [part.tracks[0, 0].max().item() for part, _ in parts] == [1, 1, 1, 0, 0, 1, 1, 2]
