"""How objects move, learned from where slots were: a ball in a box, runs that stop meanwhile, and what cards say."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest
import torch

from scenewise.checkpoint import load_model, read_card
from scenewise.cli import main
from scenewise.cli.train import ConsoleReporter
from scenewise.errors import InputError
from scenewise.nn.dynamics import HISTORY, Dynamics, Sighting
from scenewise.training import motion as learning
from scenewise.training import recipes
from scenewise.training.motion import LearnedMotion, StoppedError, Tracks, fit_dynamics, learn_motion, place_errors
from scenewise.training.plan import make_plan
from scenewise.training.recipe import MotionPart
from scenewise.training.reporter import Reporter
from scenewise.training.run import Run, train

PIXELS = 31.5
WORDS = [
    "model.name=provide-windows", "model.preset=tiny", "model.settings.size=[32, 32]", "model.settings.slots=3",
    "model.settings.windows.backdrop=plain", "model.settings.windows.dynamics=8", "model.settings.windows.colours=0.1",
    "data.source=balls-colour", "data.settings.size=32", "data.settings.max_balls=2", "data.settings.frames=12",
    "training.steps=2", "training.batch=2", "training.curriculum=[[0, 1]]", "training.validate_every=2",
    "training.images_every=100", "training.device=cpu", "training.validation_videos=2", "training.motion.videos=10",
    "training.motion.steps=5", "training.motion.batch=4", "training.motion.validation_videos=2",
]  # fmt: skip


def _bouncing(videos: int, seed: int, frames: int = 40) -> Tracks:
    """Return where one ball was that bounces off two walls, |x| <= 0.8, beside the background."""
    generator = torch.Generator().manual_seed(seed)
    begin, way = (
        torch.rand(videos, 1, generator=generator) * 1.4 - 0.7,
        torch.randint(2, (videos, 1), generator=generator),
    )
    straight = begin + 0.2 * (2 * way - 1) * torch.arange(frames)
    folded = ((straight - 0.8).remainder(3.2) - 1.6).abs() - 0.8  # a triangle wave: walls at -0.8 and 0.8
    ball = torch.stack([folded, torch.zeros_like(folded)], 2)
    places = torch.stack([torch.zeros_like(ball), ball], 2)
    speed = torch.zeros_like(places)
    speed[:, 1:] = places.diff(dim=1)
    track = torch.tensor([0, 1]).expand(videos, frames, 2)
    share = torch.ones(videos, frames, 2, 1)
    return Tracks(Sighting(places, torch.full_like(places, -1.5), track, speed, share), torch.tensor([PIXELS, PIXELS]))


def test_a_ball_learns_the_walls_of_its_box() -> None:
    net = Dynamics(24)
    assert fit_dynamics(net, _bouncing(40, 0), MotionPart(steps=200, learning_rate=5e-3), seed=0) == 200
    assert net.learned
    errors, pace = place_errors(net, _bouncing(10, 1))
    assert pace[1] > 3, "the test is about bounces"
    assert errors[1] < 0.2 * pace[1]
    assert errors[2] < 0.2 * pace[2]


def test_learning_is_the_same_every_time_and_leaves_the_random_stream_alone() -> None:
    nets = [Dynamics(8) for _ in range(2)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for net in nets:
        fit_dynamics(net, _bouncing(6, 0), MotionPart(steps=4, symmetric=True), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    one, other = (net.state_dict() for net in nets)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_slots_count_while_they_hold_one_object() -> None:
    tracks = _bouncing(1, 0, frames=12)
    track = tracks.seen.track.clone()
    track[0, 6:, 1] = 2
    broken = dataclasses.replace(tracks, seen=dataclasses.replace(tracks.seen, track=track))
    assert tracks.lasting(9)[0].tolist() == [[False, True]] * 4
    assert broken.lasting(6)[0, :, 1].tolist() == [True, False, False, False, False, False, True]
    net = Dynamics(8)
    assert fit_dynamics(net, broken, MotionPart(steps=3), seed=0) == 0
    assert not net.learned
    assert all(value != value for value in place_errors(net, broken)[0])


def test_turned_places_are_turned_with_their_sides() -> None:
    generator = torch.Generator().manual_seed(0)
    places, sides = torch.tensor([[[[0.1, 0.7]]]]).repeat(64, 3, 2, 1), torch.tensor([[[-1.0, -2.0]]]).repeat(64, 2, 1)
    turned, turned_sides = learning.turned_about(places, sides, generator)
    seen = {(*p, *s) for p, s in zip(turned[:, 0, 0].tolist(), turned_sides[:, 0].tolist(), strict=True)}
    a, b = places[0, 0, 0].tolist()
    straight = {(x * a, y * b, -1.0, -2.0) for x in (1, -1) for y in (1, -1)}
    assert seen == straight | {(y * b, x * a, -2.0, -1.0) for x in (1, -1) for y in (1, -1)}
    assert bool((turned == turned[:, :1, :1]).all())


class KilledError(Exception):
    """What ends a run here as a kill would."""


class Ending(Reporter):
    """Ends a run while it learns how objects move."""

    def __init__(self, what: str) -> None:
        self.what, self.heard = what, []

    def followed(self, what: str, done: int, total: int) -> None:
        """Hear how far it is."""
        self.heard.append((what, done, total))
        if what == self.what:
            raise KilledError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, reporter = tmp_path_factory.mktemp("motion") / "run", Ending("")
    outcome = train(recipes.load("provide-tiny", WORDS), folder, reporter=reporter)
    return outcome, reporter.heard


def test_a_run_learns_how_objects_move_after_its_last_step(whole) -> None:
    outcome, heard = whole
    assert outcome.stopped is None
    model = load_model(outcome.model).model
    assert model.dynamics.learned
    assert not any(p.requires_grad for p in model.dynamics.parameters())
    assert {("video", 8, 12), ("video", 10, 12), ("video", 12, 12), ("step", 1, 5)} <= set(heard)
    assert heard[-1] == ("step", 5, 5)
    text = (outcome.model / "README.md").read_text()
    assert "| motion of objects | 5 steps over 10 videos, " in text
    assert "seed 0; places are off by " in text
    assert not Run(recipes.load("provide-tiny", WORDS), outcome.folder, resume=True).estimate()


class Asking(Reporter):
    """Asks for an end while a run learns how objects move."""

    def followed(self, what: str, done: int, total: int) -> None:
        """Send the signal."""
        if what == "step":
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_is_killed_or_asked_to_end_while_it_learns_does_it_again(whole, tmp_path) -> None:
    recipe = recipes.load("provide-tiny", WORDS)
    for what in ("video", "step"):
        with pytest.raises(KilledError):
            train(recipe, tmp_path / "run", resume=(tmp_path / "run").exists(), reporter=Ending(what))
        assert not read_card(tmp_path / "run" / "model").motion
        assert not load_model(tmp_path / "run" / "model").model.dynamics.learned
    outcome = train(recipe, tmp_path / "run", resume=True, reporter=Asking())
    assert outcome.stopped == "SIGTERM"
    assert not read_card(outcome.model).motion
    assert "while it learned how objects move" in (tmp_path / "run" / "events.log").read_text()
    assert train(recipe, tmp_path / "run", resume=True).stopped is None
    one, other = (load_model(folder).model.state_dict() for folder in (outcome.model, whole[0].model))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stop_leaves_the_model_as_it_was() -> None:
    plan = make_plan(recipes.load("provide-tiny", WORDS))
    model = plan.make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(StoppedError, match="SIGTERM"):
        learn_motion(model, plan.recipe.training, (plan.train, plan.validation), stop=lambda: "SIGTERM")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_model_that_was_trained_without_it_learns_it_afterwards(whole, tmp_path) -> None:
    recipe = recipes.load("provide-tiny", WORDS)
    before = [word for word in WORDS if "motion" not in word and "dynamics" not in word]
    trained = train(recipes.load("provide-tiny", before), tmp_path / "run").model
    assert "dynamics" not in "".join(load_model(trained).model.state_dict())
    learning.add_motion(recipe, trained, tmp_path / "model")
    model, other = load_model(tmp_path / "model"), load_model(whole[0].model).model.state_dict()
    assert model.card.motion.startswith("learned afterwards: 5 steps over 10 videos")
    assert not [name for name, tensor in model.model.state_dict().items() if not torch.equal(other[name], tensor)]
    with pytest.raises(InputError, match="last stage"):
        learning.add_motion(recipes.load("provide-tiny", before), trained, tmp_path / "other")


def test_models_that_cannot_learn_it_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"windows\.dynamics=96"):
        make_plan(recipes.load("provide-tiny", ["training.motion.steps=5"]))
    with pytest.raises(InputError, match=r"provide-windows without windows\.dynamics"):
        make_plan(recipes.load("provide-tiny", [*WORDS, "model.settings.windows.dynamics=0"]))


def test_videos_too_short_to_learn_it_from_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(InputError, match="9 frames in a row; the videos have 8"):
        make_plan(recipes.load("provide-tiny", [*WORDS, "data.settings.frames=8"]))
    make_plan(recipes.load("provide-tiny", [*WORDS, "data.settings.frames=9"]))
    with pytest.raises(InputError, match="9 frames in a row"):
        make_plan(recipes.load("provide-tiny", [*WORDS, "training.frame_step=2"]))


def test_a_stage_that_begins_with_a_model_that_has_learned_it_keeps_it(whole) -> None:
    words = [word for word in WORDS if "motion" not in word]
    model = make_plan(recipes.load("provide-tiny", [*words, f"training.initial_model={whole[0].model}"])).make_model()
    assert model.dynamics.learned
    before = load_model(whole[0].model).model.dynamics.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.dynamics.state_dict().items())


def test_a_card_says_how_far_places_are_off() -> None:
    learned = LearnedMotion(300, 6000, 181.4, 2, (0.2, 0.5, 1.8), (0.3, 1.9, float("nan")))
    assert str(learned) == (
        "6,000 steps over 300 videos, 181 s, seed 2; places are off by 0.20 pixels after 1 (0.30), "
        "0.50 pixels after 5 (1.90), 1.80 pixels after 10 (nan) frames (in brackets: at their last pace)"
    )
    nothing = LearnedMotion(3, 0, 1.0, 0, (0.0,) * 3, (0.0,) * 3)
    assert str(nothing) == "nothing was learned: in 3 videos no object was seen for long enough"


def test_videos_are_followed_whole_however_few_frames_are_in_memory(monkeypatch) -> None:
    plan = make_plan(recipes.load("provide-tiny", WORDS))
    model = plan.make_model()
    tracks = learning.follow(model, plan.train, 9)
    assert tracks.seen.place.shape == (9, 12, 3, 2)
    assert tracks.pixels.tolist() == [15.5, 15.5]
    assert bool((tracks.seen.track[:, HISTORY:] > 0).any())
    monkeypatch.setattr(learning, "IN_MEMORY", 5)
    parts = learning.follow(model, plan.train, 9)
    assert all(torch.equal(getattr(parts.seen, name), value) for name, value in vars(tracks.seen).items())


def test_a_dry_run_tells_of_it(tmp_path, capsys) -> None:
    words = [word for word in WORDS if not word.startswith("training.motion.batch")]
    assert main(["train", "provide-tiny", "--out", str(tmp_path / "run"), "--dry-run", *words]) == 0
    assert "motion  then 5 steps on how objects move in 10 videos" in capsys.readouterr().out
    assert main(["train", "provide-tiny", "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    assert "how objects move" not in capsys.readouterr().out


def test_the_console_tells_how_far_it_is(capsys) -> None:
    with ConsoleReporter() as reporter:
        reporter.followed("video", 120, 300)
        reporter.followed("video", 121, 300)
        reporter.followed("step", 6000, 6000)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["learning how objects move, video 120 of 300", "learning how objects move, step 6,000 of 6,000"]
