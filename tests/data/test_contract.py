"""What every source has without saying it, and how a source is made from what a user types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from scenewise.config import setting
from scenewise.data import DESCRIPTIONS, SOURCES, Description, Facts, Sample, Source, register_source
from scenewise.data.contract import NoConfig, SourceMaker
from scenewise.errors import InputError


@dataclass(frozen=True)
class CountingConfig:
    step: int = setting(1, "what a frame is brighter by than the one before", minimum=0)
    ids: bool = setting(True, "know objects")


class Counting(Source):
    """Six videos of four frames, 2 x 3, whose first frame shows the video's number."""

    config_class = CountingConfig
    default_split: ClassVar[str] = "test"

    def __init__(self, config, split):
        self.config, self.split = config, split
        self.facts = Facts(1, (2, 3), 4, 1, has_ids=config.ids)

    def __len__(self):
        return 6

    def sample(self, index, start=0, frames=None):
        values = (index + self.config.step * np.arange(4))[start : None if frames is None else start + frames]
        drawn = np.broadcast_to(values[:, None, None, None], (len(values), 1, 2, 3)).astype(np.uint8)
        return Sample(drawn, drawn[:, 0] % 2 if self.config.ids else None)

    def fingerprint(self):
        return "counting"


@pytest.fixture
def counting(monkeypatch):
    with SOURCES.trial():
        monkeypatch.setattr("scenewise.data.contract.DESCRIPTIONS", dict(DESCRIPTIONS))
        register_source("counting", Description("numbers", "generated"))(Counting)
        register_source("counting-fast", Description("numbers", "generated"), {"step": 5})(Counting)
        yield SOURCES


def test_many_videos_are_those_made_one_by_one():
    source = Counting(CountingConfig(step=2), "test")
    assert [sample.frames[:, 0, 0, 0].tolist() for sample in source.samples([3, 0])] == [[3, 5, 7, 9], [0, 2, 4, 6]]
    frames, ids = source.batch([3, 0], 1, 2)
    assert frames.shape == (2, 2, 1, 2, 3)
    assert frames[:, :, 0, 0, 0].tolist() == [[5, 7], [2, 4]]
    assert ids.shape == (2, 2, 2, 3)
    assert ids[:, :, 0, 0].tolist() == [[1, 1], [0, 0]]
    assert not source.together
    assert source.at_once == 1


def test_ids_are_background_where_there_are_none():
    _, ids = Counting(CountingConfig(ids=False), "test").batch([3, 0])
    assert ids.shape == (2, 4, 2, 3)
    assert not ids.any()


def test_ready_settings_hold_where_nothing_else_is_said(counting):
    plain, fast = counting.get("counting"), counting.get("counting-fast")
    assert isinstance(plain, SourceMaker)
    assert plain().config.step == 1
    assert fast().config.step == 5
    assert fast("train", step=3).config.step == 3
    assert (fast().split, fast("train").split) == ("test", "train")
    with pytest.raises(InputError, match=r"source counting-fast.*steps.*step.*ids"):
        fast(steps=2, ids=3)


class Plain(Counting):
    """The same without settings."""

    config_class = Source.config_class

    def __init__(self, config, split):
        assert config == NoConfig()
        super().__init__(CountingConfig(), split)


def test_a_source_may_have_no_settings_but_must_be_a_class(counting):
    register_source("plain", Description("numbers", "generated"))(Plain)
    assert len(counting.get("plain")("test")) == 6
    with pytest.raises(InputError, match="unknown key step"):
        counting.get("plain")(step=2)
    with pytest.raises(TypeError, match="expected a class of sources"):
        register_source("made", Description("numbers", "generated"))(lambda split: Plain(None, split))


def test_a_source_recognises_no_path_unless_it_says_so(tmp_path):
    assert not Counting.recognises(tmp_path)


def test_every_source_has_settings_and_a_name_of_its_own():
    for name in SOURCES.names():
        maker = SOURCES.get(name)
        assert maker.name == name
        assert DESCRIPTIONS[name].what
        known = set(maker.source_class.config_class.__dataclass_fields__)
        assert set(maker.ready) <= known, name
