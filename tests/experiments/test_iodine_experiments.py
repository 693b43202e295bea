"""IODINE's further experiments: ambiguous tetrominoes, linear readouts, projections, traversals, colours, curves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scenewise.config import build
from scenewise.data import SOURCES
from scenewise.data.contract import Objects
from scenewise.experiments import (
    experiment as experiments,
)
from scenewise.experiments import (
    iodine_ambiguity,
    iodine_embedding,
    iodine_factors,
    iodine_generalisation,
    iodine_inputs,
    iodine_limits,
    iodine_traversals,
)
from scenewise.experiments.explanations import explain_scenes, slot_figure
from scenewise.experiments.object_codes import SlotCodes, object_codes
from scenewise.experiments.pictures import drawn
from scenewise.experiments.projection import neighbour_agreement, principal_components, squared_distances, t_sne
from scenewise.experiments.results import CellResult
from scenewise.models.iodine import Iodine, IodineConfig
from scenewise.observation import Observation


@pytest.fixture(scope="module")
def iodine():
    torch.manual_seed(0)
    small = {"decoder": {"channels": 8}, "encoder": {"channels": 8, "layers": 2, "code": 16}}
    settings = {"size": [35, 35], "slots": 4, "refinements": 2, "latent": 8, "hidden": 16, **small}
    return Iodine(build(IodineConfig, settings, "test")).eval()


# -- ambiguity --------------------------------------------------------------------------------------------------------


def test_arrangements_have_exactly_three_divisions_into_pieces():
    for rows in iodine_ambiguity.ARRANGEMENTS.values():
        cells = iodine_ambiguity.cells_of(rows)
        ways = iodine_ambiguity.divisions(cells)
        assert len({frozenset(way.values()) for way in ways}) == len(ways) == 3
        for way in ways:
            assert frozenset().union(*way.values()) == cells
            assert [len(piece) for piece in way.values()] == [4, 4, 4]


def test_divisions_count_by_hand():
    square = frozenset((r, c) for r in range(2) for c in range(2))
    assert len(iodine_ambiguity.divisions(square)) == 1
    two_by_four = frozenset((r, c) for r in range(2) for c in range(4))
    # two lying bars, two squares, and two L; two J would do as well, but one of their turns is not in the data set
    assert len(iodine_ambiguity.divisions(two_by_four)) == 3
    assert len(iodine_ambiguity.divisions(two_by_four, (1, 3, 4, 5, 6, 19))) == 4
    assert iodine_ambiguity.divisions(square | {(5, 5)}) == []


@pytest.mark.parametrize("name", iodine_ambiguity.ARRANGEMENTS)
def test_an_arrangement_is_drawn_and_its_divisions_are_recognised(name):
    rows = iodine_ambiguity.ARRANGEMENTS[name]
    image, (top, left) = iodine_ambiguity.image_of(rows)
    filled = {((r - top) // 5, (c - left) // 5) for r, c in np.argwhere(image.max(0) > 0)}
    assert filled == set(iodine_ambiguity.cells_of(rows))
    for number, way in enumerate(iodine_ambiguity.divisions(iodine_ambiguity.cells_of(rows))):
        for order in ((1, 2, 3), (3, 0, 1)):
            labels = np.zeros(image.shape[1:], int)
            for slot, piece in zip(order, way.values(), strict=True):
                for r, c in piece:
                    labels[top + 5 * r : top + 5 * r + 5, left + 5 * c : left + 5 * c + 5] = slot
            assert iodine_ambiguity.outcome(labels, (top, left), rows) == (number, order)
    broken = labels.copy()
    r, c = min(iodine_ambiguity.cells_of(rows))
    broken[top + 5 * r : top + 5 * r + 5, left + 5 * c : left + 5 * c + 5] = 2
    assert iodine_ambiguity.outcome(broken, (top, left), rows) == (None, None)


# -- projections ------------------------------------------------------------------------------------------------------


def test_principal_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 5)) + 3
    projection = principal_components(points, 2)
    values, vectors = np.linalg.eigh(np.cov(points.T))
    order = np.argsort(-values)
    assert projection.shares == pytest.approx(values[order][:2] / values.sum())
    for axis, vector in zip(projection.axes, vectors.T[order], strict=False):
        assert abs(axis @ vector) == pytest.approx(1)
    assert projection.of(points).mean(0) == pytest.approx([0, 0], abs=1e-9)
    assert np.var(projection.of(points), axis=0, ddof=1) == pytest.approx(values[order][:2])


def test_t_sne_keeps_clusters_apart_as_the_reference_does():
    rng = np.random.default_rng(1)
    kinds = np.repeat(np.arange(4), 30)
    points = 8 * rng.standard_normal((4, 10))[kinds] + rng.standard_normal((120, 10))
    ours = t_sne(points, perplexity=15, steps=300)
    assert neighbour_agreement(ours, kinds) == 1
    reference = pytest.importorskip("sklearn.manifold").TSNE(perplexity=15, init="pca", method="exact", random_state=0)
    theirs = reference.fit_transform(points)
    assert _divergence(points, ours, 15) <= 1.15 * _divergence(points, theirs, 15)


def _divergence(points, place, perplexity):
    """KL(P || Q) of van der Maaten and Hinton (2008), eqs. 1 to 4, written out point by point."""
    count = len(points)
    conditional = np.zeros((count, count))
    for i in range(count):
        distance = ((points - points[i]) ** 2).sum(1)
        low, high = 1e-8, 1e4
        for _ in range(80):
            beta = np.sqrt(low * high)
            p = np.exp(-beta * (distance - np.delete(distance, i).min()))
            p[i] = 0
            p /= p.sum()
            entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
            low, high = (beta, high) if entropy > np.log2(perplexity) else (low, beta)
        conditional[i] = p
    p = (conditional + conditional.T) / (2 * count)
    q = 1 / (1 + squared_distances(place))
    np.fill_diagonal(q, 0)
    q /= q.sum()
    known = p > 0
    return float((p[known] * np.log(p[known] / q[known])).sum())


def test_agreement_of_neighbours_by_hand():
    line = np.array([[0.0], [1.0], [2.5], [10.0], [11.0], [12.5]])
    kinds = np.array(["a", "a", "b", "b", "b", "b"])
    assert neighbour_agreement(line, kinds, 1) == pytest.approx(5 / 6)  # only 2.5's nearest is of the other kind
    assert squared_distances(line)[0].tolist() == pytest.approx([0, 1, 6.25, 100, 121, 156.25])


# -- linear readouts --------------------------------------------------------------------------------------------------


def codes(count, places=1, seed=0):
    """Return codes that hold a kind in three units and a place linearly, and a factor that they do not hold."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (count, places))
    where = rng.uniform(-2, 2, (count, places, 2))
    present = np.ones((count, places), bool)
    present[:, 1:] = rng.random((count, places - 1)) < 0.6
    parts = [np.eye(3)[kinds] * present[..., None], where * present[..., None]]
    held = np.concatenate(parts, 2).reshape(count, -1)
    factors = {
        "colour": np.array(["blue", "green", "red"])[kinds], "x": where[..., 0], "y": where[..., 1],
        "shape": np.array(["cube", "sphere"])[rng.integers(0, 2, (count, places))],
    }  # fmt: skip
    return SlotCodes(held @ np.random.default_rng(9).standard_normal((held.shape[1],) * 2), factors, present)


@pytest.mark.parametrize("places", [1, 3])
def test_a_linear_layer_reads_what_is_there_linearly_and_nothing_else(places):
    fit, held = codes(400, places, 0), codes(400, places, 1)
    scores = iodine_factors.readout(fit, held)
    assert set(scores) == {"colour", "shape", "position"}
    assert scores["colour"] > 0.97
    assert scores["position"] > 0.97
    assert scores["shape"] == pytest.approx(0.5, abs=0.1)
    truth = held.factors["colour"][held.present]
    assert iodine_factors.baseline(fit, held, "colour") in [(truth == kind).mean() for kind in ("blue", "green", "red")]
    assert iodine_factors.baseline(fit, held, "x") == 0


def test_a_code_of_a_scene_has_its_objects_in_the_papers_order(monkeypatch):
    """By size, material, shape and place; objects that nobody sees are left out."""
    columns = {
        "size": ["small", "large", "small", "large"], "material": ["metal", "rubber", "metal", "metal"],
        "shape": ["cube", "sphere", "cube", "cube"], "colour": ["red", "blue", "green", "gray"],
    }  # fmt: skip
    objects = Objects(
        np.arange(1, 5),
        place=np.array([[1.0, 0], [0, 0], [0.5, 2], [0, 0]]),
        **{k: np.array(v) for k, v in columns.items()},
    )
    ids = np.array([[[[1, 1], [2, 3]]]])  # the fourth is hidden
    scenes = SimpleNamespace(
        part=SimpleNamespace(mean=torch.tensor([[[[7.0, 8.0]]]])), ids=ids, samples=[SimpleNamespace(objects=objects)]
    )
    monkeypatch.setattr("scenewise.experiments.object_codes.explain_scenes", lambda *_, **__: scenes)
    found = object_codes(None, [None], 1, places=5)
    assert found.codes.tolist() == [[7, 8]]
    assert found.present.tolist() == [[True, True, True, False, False]]
    assert found.column("colour").tolist() == ["blue", "green", "red"]  # large; small by x
    assert found.column("x").tolist() == [0, 0.5, 1]


def test_slots_are_those_that_cover_objects(iodine):
    source = SOURCES.get("tetrominoes")("test")
    found = object_codes(iodine, source, 6)
    frames = np.stack([source.sample(n).frames for n in range(6)])
    part = iodine(Observation(torch.from_numpy(frames).float() / 255)).decomposition
    rows = []
    for n in range(6):
        ids = torch.from_numpy(np.asarray(source.sample(n).ids))[0]
        for number in (1, 2, 3):
            covered = [(part.masks[n, 0, k, 0] * (ids == number)).sum() for k in range(4)]
            rows.append(part.mean[n, 0, int(torch.stack(covered).argmax())].detach().numpy())
    np.testing.assert_allclose(found.codes, np.stack(rows), atol=1e-5)
    assert set(found.factors) >= {"shape", "colour", "x", "y"}
    assert set(found.column("colour")) <= {"red", "green", "blue", "yellow", "magenta", "cyan"}
    assert found.present.shape == (18, 1)


# -- what a latent's numbers change -----------------------------------------------------------------------------------


def test_effects_of_a_drawer_that_is_known():
    """Unit 0 moves a square to the right, 1 makes it brighter, 2 makes it taller, 3 does nothing."""

    def draw(latents):
        count, slots = latents.shape[:2]
        masks, images = np.zeros((count, slots, 16, 16)), np.zeros((count, slots, 16, 16, 3))
        for n in range(count):
            z = latents[n, 1]
            left, height = 6 + round(2 * float(z[0])), 4 + 2 * round(float(z[2]))
            masks[n, 1, 4 : 4 + height, left : left + 4] = 1
            images[n, 1] = 0.5 + 0.2 * float(z[1])
        masks[:, 0] = 1 - masks[:, 1]
        return SimpleNamespace(masks=masks, appearance=images)

    posterior = SimpleNamespace(mean=torch.zeros(2, 4))
    changes = iodine_traversals.effects(SimpleNamespace(posterior=posterior, draw=draw), 1)
    right, down, area, colour, outline = changes.T
    assert right.tolist() == pytest.approx([4, 0, 0, 0], abs=1e-5)
    assert down.tolist() == pytest.approx([0, 0, 2, 0], abs=1e-5)
    assert area.tolist() == pytest.approx([0, 0, np.log(3), 0], abs=1e-5)
    assert colour.tolist() == pytest.approx([0, 0.5 * 3**0.5, 0, 0], abs=1e-5)
    assert outline[[0, 1, 3]].tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert outline[2] > 0.5


# -- divisions by colour ----------------------------------------------------------------------------------------------


def test_colours_are_divided_into_as_many_clusters():
    pixels = np.full((6, 6, 3), 0.1)
    pixels[:, :3, 0] = 0.9
    pixels[:, 3:] = [0.1, 0.1, 0.9]
    pixels[0, 0] = [0.85, 0.12, 0.1]
    labels = iodine_limits.by_colour(pixels, 2)
    assert len(set(labels[:, :3].reshape(-1))) == len(set(labels[:, 3:].reshape(-1))) == 1
    assert labels[0, 0] != labels[0, 5]
    assert set(iodine_limits.by_colour(np.zeros((4, 4, 1)), 3).reshape(-1)) == {0}


# -- figures and tables -----------------------------------------------------------------------------------------------


def test_slots_of_images_become_a_figure(iodine):
    scenes = explain_scenes(iodine, SOURCES.get("tetrominoes")("test"), range(2), slots=3)
    assert scenes.part.slots == 3
    assert len(scenes.decodes) == 2
    picture = slot_figure("two images", scenes)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    rows = iodine_generalisation.refinement_figure(scenes, 1, "three slots")
    assert rows.shape[0] > 2 * 70


def test_curves_of_trainings_are_read_thinned_and_drawn(tmp_path):
    lines = [f"{step},{1000 - step}" for step in range(1, 101)]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,loss", *lines]))
    (tmp_path / "validation.csv").write_text("step,provide F-ARI,mse,kl\n50,0.25,0.5,7\n100,0.75,0.25,9\n")
    folder = SimpleNamespace(run=SimpleNamespace(path=tmp_path))
    curves = iodine_inputs.measure(folder, None)
    assert curves["provide F-ARI"] == [[50, 100], [0.25, 0.75]]
    assert curves["loss"][0][-1] == 100
    assert len(curves["loss"][0]) == 30
    assert curves["loss"][1][0] == np.mean([999, 998, 997, 996])
    assert curves["loss"][1][-1] == np.mean([902, 901, 900])
    cell = SimpleNamespace(variant="all", data="clevr6")
    results = [SimpleNamespace(cell=cell, measured=curves)]
    assert drawn(lambda figure: iodine_inputs.draw_curves(figure, results, "clevr6")).startswith(b"\x89PNG")


def test_what_was_measured_is_shown():
    cells = {
        name: experiments.load(f"iodine-{name}", "small").cells[0] for name in ("ambiguity", "factors", "embedding")
    }
    kinds = {"colour": 0.5, "shape": 0.25}
    measured = {
        "ambiguity": {
            "runs": 10, "ordinary": 0.4,
            "arrangements": {"stairs": {"divisions": [1, 2, 0], "invalid": 7, "orders": [1, 2, 0]}},
            "latents": {"points": [[0, 1], [2, 3]], "explained": [0.5, 0.1], "background": [0, 1], "chosen": [1],
                        "paths": [[[0, 0], [1, 1]]]},
        },
        "factors": {"objects": 12, "scores": {**kinds, "position": 0.9}, "frequent": {"colour": 0.2, "shape": 0.1}},
        "embedding": {
            "components": [[0, 1], [1, 0], [2, 2]], "explained": [0.5, 0.2], "t_sne": [[0, 1], [1, 0], [2, 2]],
            "factors": {"colour": ["red", "blue", "red"], "x": [0.1, 0.2, 0.3]}, "agreement": kinds, "chance": kinds,
        },
    }  # fmt: skip
    words = {"ambiguity": ["10.0 %", "70.0 %", "1 / 2 / 0", "40.0 %"], "factors": ["0.500 (1) [0.200]", "0.900"],
             "embedding": ["0.500", "0.250", "colour"]}  # fmt: skip
    for name, cell in cells.items():
        loaded = experiments.load(f"iodine-{name}", "small")
        shown = loaded.hooks().show(loaded, [CellResult(cell, {"scores": [], "measured": measured[name]})])
        for word in words[name]:
            assert word in shown.text
        assert shown.figures
        for draw in shown.figures.values():
            assert drawn(draw).startswith(b"\x89PNG")
    assert iodine_embedding.SCENES > 0
