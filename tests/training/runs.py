"""What the tests of runs share: the smallest run there is. As a script it is one of two processes of a step."""

import csv
import sys

import torch

from scenewise.observation import Observation
from scenewise.training import recipes
from scenewise.training.clips import Clips
from scenewise.training.loop import noise_shapes
from scenewise.training.plan import make_plan

SMALL = [
    "training.steps=6", "training.batch=2", "training.curriculum=[[0, 1], [4, 2]]", "training.validate_every=3",
    "training.images_every=6", "training.checkpoint_every=2", "training.device=cpu", "data.settings.max_balls=2",
]  # fmt: skip
COMMAND = [sys.executable, "-c", "import sys; from scenewise.cli import main; sys.exit(main(sys.argv[1:]))", "train"]


def small(*words):
    """Return a recipe that takes a second."""
    return recipes.load("provide-tiny", [*SMALL, *words])


def last_state(folder):
    """Return the newest checkpoint of a run."""
    return torch.load(sorted((folder / "checkpoints").glob("*.pt"))[-1], weights_only=True)


def rows(file):
    """Return the rows of a table without the clock."""
    with file.open() as opened:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(opened)]


def same(one, other):
    """Return whether two states are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one if k != "seconds")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class Loss(torch.nn.Module):
    """A model's mean loss on a clip."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, clip):
        output = self.model(Observation(clip["frames"].float() / 255), noise=clip["noise"])
        return self.model.loss(output.terms).mean()


def gradients(rank, world, words, wrap=None):
    """Return the gradients of one step's loss on the share of this process."""
    plan = make_plan(small(*words))
    model = plan.make_model()
    clips = Clips(plan.train, plan.recipe.training, noise_shapes(model, {2}), 4, rank, world)
    module = Loss(model) if wrap is None else wrap(Loss(model))
    module(clips[0]).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def main(rank, file, *words):
    """Compute and, as the first process, save the gradients of two processes."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}.meeting", rank=int(rank), world_size=2)
    found = gradients(int(rank), 2, words, torch.nn.parallel.DistributedDataParallel)
    if int(rank) == 0:
        torch.save(found, file)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
