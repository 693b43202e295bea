import json
import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewise.cli import main
from scenewise.errors import InputError
from scenewise.evaluation import PROTOCOLS, Metric, Protocol, default_protocols, score_all, table
from scenewise.metrics import adjusted_rand_index, mean_iou, mse

N, T = 3, 5


@pytest.fixture
def videos():
    """Labels, ids, reconstruction and frames; frame 1 of video 0 has no foreground."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 3, (N, T, 6, 6))
    ids[0, 1] = 0
    labels = np.where(random.random(ids.shape) < 0.8, ids, 3)
    images = random.random((2, N, T, 3, 6, 6)).astype(np.float32)
    return labels, ids, images[0], images[1]


def test_provide_is_the_mean_over_frames_with_empty_frames_as_one(videos):
    scores = PROTOCOLS.get("provide").begin().add(*videos).result()
    ari = adjusted_rand_index(*videos[:2])
    f_ari = adjusted_rand_index(*videos[:2], foreground=True, empty="one")
    expected = {"ARI": ari.mean, "F-ARI": f_ari.mean, "MSE": mse(*videos[2:])}
    assert scores.values == pytest.approx(expected)
    assert scores.empty == {"ARI": 0, "F-ARI": 1, "MSE": 0}
    assert (scores.videos, scores.frames, scores.protocol) == (N, N * T, "provide")
    assert scores.curves["F-ARI"] == pytest.approx(f_ari.each.mean(0))


def test_rnem_leaves_out_the_first_frame_and_reports_the_last(videos):
    scores = PROTOCOLS.get("rnem").begin().add(*videos).result()
    each = adjusted_rand_index(*videos[:2], foreground=True).each
    assert scores.values == pytest.approx({"F-ARI": np.nanmean(each[:, 1:]), "last F-ARI": each[:, -1].mean()})
    assert scores.empty == {"F-ARI": 1, "last F-ARI": 0}
    assert scores.frames == N * (T - 1)
    assert math.isnan(scores.curves["F-ARI"][0])
    assert scores.curves["F-ARI"][1:] == pytest.approx(np.nanmean(each, axis=0)[1:])


def test_rnem_does_not_count_an_empty_first_frame(videos):
    labels, ids, *_ = videos
    ids[:, 0] = 0
    assert PROTOCOLS.get("rnem").begin().add(labels, ids).result().empty["F-ARI"] == 1


def test_step_weights_weigh_frames_after_the_first(videos):
    labels, ids, *_ = videos
    each = adjusted_rand_index(labels, ids, foreground=True).each
    weighted = PROTOCOLS.get("rnem").weighted((1, 0, 0, 3))
    expected = (np.nansum(each[:, 1]) + 3 * each[:, 4].sum()) / (2 + 3 * 3)
    plain = PROTOCOLS.get("rnem").score(labels, ids)
    found = weighted.score(labels, ids)
    assert found["F-ARI"] == pytest.approx(expected)
    assert found["last F-ARI"] == plain["last F-ARI"]
    assert weighted.name == "rnem (weights 1,0,0,3)"
    assert PROTOCOLS.get("rnem").weights is None


@pytest.mark.parametrize("weights", [(1, -1), (0, 0), (), (float("nan"),)])
def test_bad_weights_are_refused(weights):
    with pytest.raises(InputError, match="weights: must be at least 0 and not all 0"):
        PROTOCOLS.get("rnem").weighted(weights)


def test_too_few_weights_are_refused(videos):
    with pytest.raises(InputError, match="weights: must be one per scored frame, 4; found 2"):
        PROTOCOLS.get("rnem").weighted((1, 1)).score(*videos)


def test_savi_scores_whole_videos(videos):
    scores = PROTOCOLS.get("savi").begin().add(*videos).result()
    expected = {
        "F-ARI": adjusted_rand_index(*videos[:2], foreground=True, scope="video").mean,
        "ARI": adjusted_rand_index(*videos[:2], scope="video").mean,
    }
    assert scores.values == pytest.approx(expected)
    assert scores.curves == {}


def test_a_switch_of_slots_shows_in_savi_only():
    ids = np.tile(np.array([[1, 1, 2, 2]] * 4), (1, 2, 1, 1))
    labels = ids.copy()
    labels[0, 1] = 3 - ids[0, 1]
    found = score_all(labels, ids)
    assert found["provide"].values["F-ARI"] == 1.0
    assert found["rnem"].values["F-ARI"] == 1.0
    assert found["savi"].values["F-ARI"] < 0.1


@pytest.mark.parametrize("name", ["provide", "rnem", "savi"])
def test_video_by_video_is_the_same_as_at_once(name, videos):
    protocol = PROTOCOLS.get(name)
    accumulator = protocol.begin()
    for video in zip(*videos, strict=True):
        accumulator.add(*video)
    found, expected = accumulator.result(), protocol.begin().add(*videos).result()
    assert found.values == pytest.approx(expected.values)
    assert (found.empty, found.videos, found.frames) == (expected.empty, expected.videos, expected.frames)
    for metric, curve in expected.curves.items():
        assert found.curves[metric] == pytest.approx(curve, nan_ok=True)


def test_videos_of_different_length_weigh_by_frame(videos):
    labels, ids, *_ = videos
    accumulator = PROTOCOLS.get("provide").begin().add(labels[1, :2], ids[1, :2]).add(labels[2], ids[2])
    each = adjusted_rand_index(labels, ids).each
    scores = accumulator.result()
    assert scores.values["ARI"] == pytest.approx((each[1, :2].sum() + each[2].sum()) / 7)
    assert scores.curves["ARI"] == pytest.approx([*each[1:, :2].mean(0), *each[2, 2:]])
    last = PROTOCOLS.get("rnem").begin().add(labels[1, :2], ids[1, :2]).add(labels[2], ids[2]).result()
    foreground = adjusted_rand_index(labels, ids, foreground=True).each
    assert last.values["last F-ARI"] == pytest.approx((foreground[1, 1] + foreground[2, -1]) / 2)


def test_without_a_reconstruction_there_is_no_mse(videos):
    assert set(PROTOCOLS.get("provide").score(*videos[:2])) == {"ARI", "F-ARI"}


def test_background_ids_are_an_argument(videos):
    labels, ids, *_ = videos
    found = score_all(labels, ids, protocols=["savi"], background_ids=(0, 2))["savi"].values
    expected = adjusted_rand_index(labels, ids, foreground=True, scope="video", background_ids=(0, 2)).mean
    assert found["F-ARI"] == pytest.approx(expected, nan_ok=True)
    assert found["ARI"] != PROTOCOLS.get("savi").score(labels, ids)["ARI"]


def test_no_foreground_at_all_is_nan_or_one_by_protocol():
    blank = np.zeros((2, 3, 4, 4), int)
    found = score_all(blank, blank)
    assert found["provide"].values["F-ARI"] == 1.0
    assert found["provide"].empty["F-ARI"] == 6
    assert math.isnan(found["rnem"].values["F-ARI"])
    assert math.isnan(found["savi"].values["F-ARI"])
    assert json.loads(json.dumps(found["savi"].to_dict(), allow_nan=False))["values"] == {"F-ARI": None, "ARI": 1.0}


def test_a_single_frame_has_no_rnem_score():
    one = np.array([[[[1, 2]]]])
    scores = PROTOCOLS.get("rnem").begin().add(one, one).result()
    assert all(math.isnan(value) for value in scores.values.values())
    assert scores.frames == 0


def test_every_row_of_the_table_names_its_protocol(videos):
    scores = score_all(*videos)
    rows = table(scores, model="tiny", seed=3)
    assert [(row["protocol"], row["metric"]) for row in rows] == [
        ("provide", "ARI"),
        ("provide", "F-ARI"),
        ("provide", "MSE"),
        ("rnem", "F-ARI"),
        ("rnem", "last F-ARI"),
        ("savi", "F-ARI"),
        ("savi", "ARI"),
    ]
    first = {"model": "tiny", "seed": 3, "protocol": "provide", "metric": "ARI", "videos": 3, "frames": 15, "empty": 0}
    assert rows[0] == {**first, "value": scores["provide"].values["ARI"]}
    assert table(scores.values()) == table(scores)


def test_scores_survive_json(videos):
    for scores in score_all(*videos).values():
        assert json.loads(json.dumps(scores.to_dict(), allow_nan=False)) == scores.to_dict()


def test_protocols_are_frozen_and_say_where_they_come_from():
    assert [protocol.name for protocol in default_protocols()] == ["bound", "provide", "rnem", "savi"]
    assert [protocol.name for protocol in default_protocols(("labels", "ids", "background_ids"))] == [
        "provide", "rnem", "savi",
    ]  # fmt: skip
    assert set(PROTOCOLS.names()) > {"bound", "disentanglement", "lds", "lds-gap", "novel-views", "prediction"}
    for name in PROTOCOLS.names():
        protocol = PROTOCOLS.get(name)
        assert protocol.name == name
        assert bool(protocol.metrics) != (protocol.function is not None)
        assert protocol.__doc__ == protocol.source
        assert len(protocol.source) > 40
        with pytest.raises(FrozenInstanceError):
            protocol.first = 2


def test_torch_tensors_give_the_same(videos):
    found = score_all(*(torch.from_numpy(a) for a in videos))
    assert {n: s.to_dict() for n, s in found.items()} == {n: s.to_dict() for n, s in score_all(*videos).items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, i, r, f: (a[:, :2], i, r, f), r"ids: must have the shape of labels, \(3, 2, 6, 6\)"),
        (lambda a, i, r, f: (a - 1, i, r, f), "labels: must be at least 0; found -1"),
        (lambda a, i, r, f: (a[0, 0], i[0, 0], None, None), r"labels: must have shape \(N, T, H, W\) or \(T, H, W\)"),
        (lambda a, i, r, f: (a[:0], i[:0], None, None), "labels: must have shape"),
        (lambda a, i, r, f: (a, i, r, None), "reconstruction: and frames must be given together"),
        (lambda a, i, r, f: (a, i, r[..., :5], f), "reconstruction: must have shape .* to fit the labels"),
        (lambda a, i, r, f: (a, i, r, f[:, :2]), "frames: must have shape .* to fit the labels"),
        (lambda a, i, r, f: (a, i, r[:, :, :1], f), "reconstruction: must have the shape of frames"),
    ],
)
def test_bad_input_says_what_is_wrong_and_counts_nothing(videos, change, words):
    accumulator = PROTOCOLS.get("provide").begin()
    with pytest.raises(InputError, match=words):
        accumulator.add(*change(*videos))
    with pytest.raises(InputError, match="protocol provide: no video was scored"):
        accumulator.result()


def test_some_reconstructions_are_not_enough(videos):
    accumulator = PROTOCOLS.get("provide").begin().add(*videos)
    with pytest.raises(InputError, match="reconstruction: was given for some videos only"):
        accumulator.add(*videos[:2])


def test_unknown_names_are_refused(videos):
    with pytest.raises(InputError, match="Did you mean 'provide'"):
        score_all(*videos, protocols=["provied"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Metric("mIoU", "miou"), "metric mIoU: must hold a function; found 'miou'"),
        (lambda: Metric("mIoU", mean_iou, scop="video"), "scop: is not an option of metric mIoU. Did you mean 'scope'"),
        (lambda: Metric("mIoU", mean_iou, empty="zero"), "empty: is 'zero'; allowed: exclude, one"),
        (lambda: Metric("mine", lambda labels, depth: labels), "metric mine: asks for 'depth'"),
        (lambda: Protocol("mine", "Ours."), "protocol mine: needs either metrics or a function"),
        (lambda: Protocol("mine", "Ours.", (Metric("m", mean_iou),), function=lambda request: []), "needs either"),
    ],
)
def test_definitions_that_could_not_score_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_scores_of_another_shape_are_refused(videos):
    protocol = Protocol("mine", "Ours.", (Metric("whole", lambda ids: ids),))
    with pytest.raises(
        InputError, match=r"metric whole: must return one score per frame, \(3, 5\), or per video, \(3,\)"
    ):
        protocol.score(*videos[:2])


def test_a_metric_takes_what_its_parameters_name_and_stays_out_where_that_is_missing(videos):
    labels, ids, reconstruction, frames = videos
    kl = np.arange(N * T, dtype=np.float32).reshape(N, T)
    protocol = Protocol(
        "mine",
        "Ours.",
        (
            Metric("mIoU", mean_iou),
            Metric("tracked", mean_iou, scope="video", include_background=False),
            Metric("mean of frames", lambda frames: frames.mean((2, 3, 4))),
            Metric("most nats", lambda kl: kl.max(1)),
        ),
    )
    assert list(protocol.begin().add(labels, ids).result().values) == ["mIoU", "tracked"]
    scores = protocol.begin().add(labels, ids, reconstruction, frames, kl=kl).result()
    assert scores.values["mIoU"] == pytest.approx(mean_iou(labels, ids).mean)
    assert scores.values["tracked"] == pytest.approx(
        mean_iou(labels, ids, scope="video", include_background=False).mean
    )
    assert scores.values["mean of frames"] == pytest.approx(frames.mean(), rel=1e-6)
    assert scores.values["most nats"] == np.mean([4, 9, 14])
    assert set(scores.curves) == {"mIoU", "mean of frames"}
    assert scores.each["most nats"] == [4, 9, 14]
    alone = protocol.begin().add(labels[0], ids[0], kl=kl[0])
    with pytest.raises(InputError, match="kl: must have shape"):
        alone.add(labels[1], ids[1], kl=kl[1, :2])
    with pytest.raises(InputError, match="was given for some videos only"):
        alone.add(labels[1], ids[1])


def test_a_metric_may_be_any_function_of_labels_and_ids(videos):
    """Share of the foreground that slot 3, which is never an object, holds; NaN in the frame without foreground."""

    def lost(labels, ids, background_ids):
        foreground = np.isin(ids, list(background_ids), invert=True)
        count = foreground.sum((-2, -1))
        held = ((labels == 3) & foreground).sum((-2, -1))
        return np.divide(held, count, out=np.full(count.shape, np.nan), where=count > 0)

    protocol = Protocol("mine", "Ours.", (Metric("lost", lost), Metric("last lost", lost, last=True)))
    scores = protocol.begin().add(*videos).result()
    labels, ids = videos[:2]
    by_hand = [[np.mean(labels[n, t][ids[n, t] > 0] == 3) for t in range(T) if (n, t) != (0, 1)] for n in range(N)]
    assert scores.values["lost"] == pytest.approx(np.mean([value for each in by_hand for value in each]))
    assert scores.values["last lost"] == pytest.approx(np.mean([each[-1] for each in by_hand]))
    assert scores.empty == {"lost": 1, "last lost": 0}


def test_help_and_page_list_the_protocols_of_the_registry(capsys):
    assert main(["evaluate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split()).replace("- ", "-")  # as it was before lines were broken
    default = [name for name in PROTOCOLS.names() if PROTOCOLS.get(name).default]
    others = [name for name in PROTOCOLS.names() if name not in default]
    assert f"default: {', '.join(default)}; run where they are named: {', '.join(others)}" in text
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert [name for name in PROTOCOLS.names() if f"| `{name}` |" not in page] == []
