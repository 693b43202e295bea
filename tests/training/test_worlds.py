"""How many processes torchrun or SLURM started, and that a run of another number is refused before it begins."""

import pytest

from scenewise.errors import InputError
from scenewise.training.run import Run, check_world

from .runs import small


def torchrun(world, local, rank=0):
    return {
        "TORCHELASTIC_RUN_ID": "none", "RANK": str(rank), "LOCAL_RANK": str(rank % local), "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(local), "GROUP_WORLD_SIZE": str(world // local), "MASTER_ADDR": "localhost",
    }  # fmt: skip


def slurm(tasks, nodes, **more):
    return {"SLURM_NTASKS": str(tasks), "SLURM_NNODES": str(nodes), "SLURM_PROCID": "0", "SLURM_LOCALID": "0", **more}


@pytest.mark.parametrize(
    ("devices", "environment", "nodes"),
    [
        (1, {}, 1),
        (4, {}, 1),  # this process starts the others itself
        (2, {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}, 1),  # as one of those sees it
        (1, torchrun(1, 1), 1),
        (2, torchrun(2, 2), 1),
        (2, torchrun(2, 1, 1), 2),
        (4, torchrun(4, 2, 3), 2),
        (2, {key: value for key, value in torchrun(2, 1).items() if key != "GROUP_WORLD_SIZE"}, 2),
        (2, slurm(2, 1), 1),
        (8, slurm(8, 2), 2),
        (1, slurm(4, 1, SLURM_JOB_NAME="bash"), 1),
        (1, slurm(4, 2, SLURM_STEP_NUM_TASKS="1", SLURM_STEP_NUM_NODES="1"), 1),
        (1, {"SLURM_NTASKS": "x", "SLURM_PROCID": "0"}, 1),
    ],
)
def test_worlds_that_fit(devices, environment, nodes):
    assert check_world(devices, environment) == nodes


@pytest.mark.parametrize(
    ("devices", "environment", "message"),
    [
        (1, torchrun(2, 2), "torchrun started 2"),
        (2, torchrun(4, 2), "torchrun started 4"),
        (4, torchrun(2, 2), "torchrun started 2"),
        (1, slurm(2, 2), "SLURM started 2"),
        (2, slurm(4, 2), "SLURM started 4"),
        (3, slurm(3, 2), "evenly"),
    ],
)
def test_worlds_that_do_not_fit(devices, environment, message):
    with pytest.raises(InputError, match=message):
        check_world(devices, environment)


def test_nodes_that_a_recipe_wants_must_have_been_started(tmp_path):
    assert check_world(2, torchrun(2, 1), 2) == 2
    assert check_world(1, {}, 1) == 1
    with pytest.raises(InputError, match="no launcher started"):
        check_world(2, {}, 2)
    with pytest.raises(InputError, match=r"training\.nodes: is 2; torchrun started 1"):
        check_world(2, torchrun(2, 2), 2)
    with pytest.raises(InputError, match=r"training\.nodes: is 1; SLURM started 2"):
        check_world(4, slurm(4, 2), 1)
    with pytest.raises(InputError, match="no launcher"):
        Run(small("training.nodes=2", "training.devices=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("environment", [torchrun(2, 2), torchrun(2, 2, 1), torchrun(2, 1), slurm(2, 2)])
def test_a_run_is_refused_before_its_folder_is_made(tmp_path, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="Set training"):
        Run(small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
