"""A frame drawn anew: from what was recorded it is what the model drew, from anything else what it draws then."""

import numpy as np
import pytest
import torch

from scenewise.errors import InputError
from scenewise.explore.recording import recording
from scenewise.models.contract import Decodes

ITERATIVE = ("provide", "iodine", "seq-iodine")


def shown(moment):
    part = moment.decomposition
    return part.masks[0, 0, :, 0].numpy(), part.appearance[0, 0].movedim(1, -1).numpy()


def assert_shows(drawing, moment, tolerance=1e-5):
    masks, appearance = shown(moment)
    np.testing.assert_allclose(drawing.masks[0], masks, atol=tolerance)
    np.testing.assert_allclose(drawing.appearance[0], appearance, atol=tolerance)


@pytest.mark.parametrize("name", ITERATIVE)
@pytest.mark.parametrize("number", [0, 3])
def test_latents_that_were_drawn_give_what_was_drawn(explore, name, number):
    moment = explore(name).moment(number)
    read = moment.decodes[0] if name == "seq-iodine" else moment.decodes[-1]  # which decode the frame is read from
    assert_shows(moment.draw(read.latent), moment)


def test_a_first_frame_of_several_looks_is_drawn_with_the_last(explore):
    moment = explore("provide", budget={"first_looks": 3}).moment(0)
    assert {decode.look for decode in moment.decodes} == {0, 1, 2}
    assert float(moment.state["hidden"].abs().max()) > 0
    assert_shows(moment.draw(moment.decodes[-1].latent), moment)


def test_slots_in_windows_are_drawn_where_the_windows_were(explore):
    exploration = explore("provide-windows")
    moment = exploration.moment(4)
    on = moment.state["on"][0] > 0
    assert on.sum() > 1  # or nothing is shown by this
    masks, _ = shown(moment)
    np.testing.assert_allclose(moment.draw(moment.posterior.mean[None]).masks[0], masks, atol=1e-5)


def test_parts_of_dvip_are_compared_with_what_was_usual(explore):
    exploration = explore("dvip")
    moment = exploration.moment(2)
    assert_shows(moment.draw(exploration.state_after(2)["latent"]), moment)


def test_linked_slots_are_drawn_by_the_numbers_that_the_model_gave_them(explore):
    """GENESIS takes slots one after the other: what a latent draws depends on its place among them."""
    exploration = explore("genesis", slots=4, frames=8)
    model = exploration.decomposer.model
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, 2 * p[0].numel() ** -0.5)
    moments = [exploration.moment(t) for t in range(8)]
    moved = [m for m in moments if m.order.tolist() != [0, 1, 2, 3]]
    assert moved
    for moment in moved:
        own = moment.posterior.mean[moment.order.argsort()]  # as the model numbers them
        masks, appearance = model.decode(own[None])
        drawing = moment.draw(moment.posterior.mean[None])
        np.testing.assert_allclose(drawing.masks[0], masks[0, moment.order, 0], atol=1e-6)
        np.testing.assert_allclose(drawing.appearance[0], appearance[0, moment.order].movedim(1, -1), atol=1e-6)


def test_slots_can_be_left_out_and_copied(explore):
    """Softmax masks without a slot are those of the others, divided by what they summed to."""
    moment = explore("provide").moment(2)
    mean = moment.posterior.mean
    whole = moment.draw(mean[None])
    without = moment.draw(mean[None, [0, 2]], [0, 2])
    rest = whole.masks[0, [0, 2]]
    np.testing.assert_allclose(without.masks[0], rest / rest.sum(0), atol=1e-5)
    twice = moment.draw(mean[None, [0, 1, 2, 1]], [0, 1, 2, 1])
    np.testing.assert_allclose(twice.masks[0, 1], twice.masks[0, 3], atol=1e-6)
    np.testing.assert_allclose(twice.appearance[0, :3], whole.appearance[0], atol=1e-5)


def test_models_with_a_fixed_number_of_slots_say_so(explore):
    moment = explore("dvip").moment(0)
    with pytest.raises(InputError, match="was made for"):
        moment.draw(moment.posterior.mean[None, [0]], [0])


def test_models_that_cannot_draw_say_so(explore):
    moment = explore("rnem").moment(0)
    assert not isinstance(moment.model, Decodes)
    with pytest.raises(InputError, match="cannot draw"):
        moment.draw(moment.posterior.mean[None])


def test_dimensions_are_ranked_by_their_share_of_the_kl(explore):
    moment = explore("iodine").moment(0)
    q, p = moment.posterior, moment.prior
    normal = torch.distributions.Normal
    pair = (normal(g.mean, (g.log_variance / 2).exp()) for g in (q, p))
    expected = torch.distributions.kl_divergence(*pair)
    np.testing.assert_allclose(moment.kl, expected, rtol=1e-3, atol=1e-5)
    assert moment.ranking(1).tolist() == expected[1].argsort(descending=True).tolist()
    with pytest.raises(InputError, match="expected 0 to 2; found 3"):
        moment.ranking(3)


def test_gradients_are_those_of_the_loss_as_the_network_sees_them(explore):
    """By autograd of NLL + KL of the mixture, layer-normed over each slot's image."""
    decode = explore("iodine").moment(0).decodes[1]
    mixture = decode.mixture
    means = mixture.appearance.detach().clone().requires_grad_()
    masks = mixture.masks.detach().clone().requires_grad_()
    logits = mixture.logits.detach().clone().requires_grad_()
    x, sigma = mixture.frame, mixture.sigma

    def nll(means, masks):
        density = torch.distributions.Normal(means, sigma).log_prob(x[:, None]).sum(2, keepdim=True)
        return -(masks.log() + density).logsumexp(1).sum()

    by_logit = decode.inputs.mask_gradient == "logit"
    loss = nll(means, logits.softmax(1)) if by_logit else nll(means, masks)
    loss.backward()
    expected = {"means": means.grad, "masks": (logits if by_logit else masks).grad}
    found = decode.gradients()
    assert set(found) == {"means", "masks"}
    for name, gradient in expected.items():
        flat = gradient.flatten(2)
        normed = (flat - flat.mean(2, keepdim=True)) / (flat.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        np.testing.assert_allclose(found[name].flatten(2), normed, rtol=2e-2, atol=5e-3)
    assert float(decode.nll[0]) == pytest.approx(float(loss.detach()), rel=1e-4)


def test_a_recorder_leaves_the_model_as_it_was(explore):
    exploration = explore("provide")
    model = exploration.decomposer.model
    engine = model.engine
    with pytest.raises(RuntimeError), recording(model):
        raise RuntimeError("in the middle")
    assert model.engine is engine
    images = torch.stack([torch.from_numpy(f.given).permute(2, 0, 1) for f in exploration.clip])[None].float() / 255
    plain, _ = model.step(images, model.initial_state())
    for t in range(3):
        np.testing.assert_array_equal(exploration.moment(t).decomposition.masks[:, 0], plain.masks[:, t])
    assert model.engine is engine
