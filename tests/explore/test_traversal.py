"""Traversals: which numbers are set to what, and that nothing else changes."""

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.explore import traverse
from scenewise.explore.figure import diverging
from scenewise.explore.refinements import refinement_figure, refinement_pictures


def test_one_number_is_set_and_all_else_stays(explore):
    moment = explore("iodine").moment(0)
    traversal = traverse(moment, 1, dimensions=2, steps=3, span=2.0)
    assert traversal.dimensions.tolist() == moment.ranking(1)[:2].tolist()
    std = float((moment.prior.log_variance[1, 0] / 2).exp())
    np.testing.assert_allclose(traversal.values, [[-2 * std, 0, 2 * std]] * 2, atol=1e-6)
    for d, dimension in enumerate(traversal.dimensions):
        for v in range(3):
            latents = moment.posterior.mean.clone()
            latents[1, dimension] = float(traversal.values[d, v])
            masks, appearance = moment.model.decode(latents[None])
            image = (masks * appearance).sum(1)[0].movedim(0, -1).clamp(0, 1).mul(255).round()
            assert np.abs(traversal.drawings[d].images[v].astype(int) - image.numpy()).max() <= 1


def test_values_may_be_shifts_of_the_posterior(explore):
    moment = explore("provide").moment(2)
    traversal = traverse(moment, 0, dimensions=3, steps=5, span=4.0, around="posterior")
    chosen = torch.from_numpy(traversal.dimensions)
    std = (moment.prior.log_variance[0, chosen] / 2).exp()[:, None]
    expected = moment.posterior.mean[0, chosen][:, None] + std * torch.tensor([-4.0, -2, 0, 2, 4])
    np.testing.assert_allclose(traversal.values, expected, rtol=1e-5)
    middle = traversal.drawings[0].images[2].astype(int)
    assert np.abs(middle - traversal.drawn.images[0]).max() <= 1


@pytest.mark.parametrize(("name", "span"), [("iodine", 1.5), ("provide", 6.0)])
def test_a_narrow_prior_is_gone_through_farther(explore, name, span):
    assert traverse(explore(name).moment(1), dimensions=1, steps=2).steps.tolist() == [-span, span]


def test_numbers_out_of_range_are_refused(explore):
    moment = explore("iodine").moment(0)
    for wrong in ({"dimensions": 0}, {"dimensions": 9}, {"steps": 1}, {"span": 0.0}, {"slot": 3}, {"slot": -1}):
        with pytest.raises(InputError):
            traverse(moment, **wrong)


def test_figures_hold_every_picture(explore):
    moment = explore("iodine").moment(0)
    figure = traverse(moment, dimensions=2, steps=3).figure("a title")
    factor = round(88 / 16)
    assert figure.shape[1] > 4 * 16 * factor
    assert len(np.unique(figure.reshape(-1, 3), axis=0)) > 20
    pictures = refinement_pictures(moment)
    tall = refinement_figure(moment, pictures, "a title")
    short = refinement_figure(moment, pictures, "a title", [1])
    assert tall.shape[0] > short.shape[0] > 5 * 16 * factor


def test_models_that_do_not_refine_say_so(explore):
    with pytest.raises(InputError, match="does not refine"):
        refinement_pictures(explore("vae").moment(0))


def test_signed_values_become_colours():
    values = np.zeros((20, 20, 1))
    values[0, 0], values[0, 1] = -1.0, 0.5
    picture = diverging(values)
    assert picture[5, 5].tolist() == [255, 255, 255]
    assert picture[0, 0, 2] > picture[0, 0, 0]  # blue below
    assert picture[0, 1, 0] > picture[0, 1, 2]  # red above
    assert diverging(np.zeros((2, 2, 3))).min() == 128
