"""Rigid bodies that slide, roll and collide on a floor, moved by MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scenewise.data.generated.scenes3d.engine import engine

if TYPE_CHECKING:
    from collections.abc import Sequence

_STIFF = 150.0  # radians per second of a contact between two bodies; it lasts half a turn, about 20 ms
_FLOOR = "0.01 1"  # time and damping of contacts with the floor: they do not bounce
_APART = 6  # frames without contact after which a pair collides anew


@dataclass(frozen=True)
class Law:
    """How bodies move; units are those of the world and seconds.

    Attributes:
        friction: Of bodies on the floor.
        rolling: Share of its speed that a rolling ball loses in a second.
        restitution: Speed after a collision of two bodies over that before.
        gravity: Downward acceleration.
        frame: Seconds between two frames.
        substeps: Steps of the simulation per frame.
    """

    friction: float = 0.045
    rolling: float = 0.12
    restitution: float = 0.7
    gravity: float = 9.81
    frame: float = 5 / 128
    substeps: int = 16


@dataclass(frozen=True)
class Mover:
    """One body of mass 1.

    Attributes:
        shape: "cube", "sphere" or "cylinder".
        half: Half its side, or its radius.
        place: Where it starts, on the floor.
        turn: Its rotation about the vertical at the start, radians.
        velocity: Along x and y when it starts to move, per second.
        entry: Frame in which it starts to move.
    """

    shape: str
    half: float
    place: tuple[float, float]
    turn: float
    velocity: tuple[float, float]
    entry: int = 0


class Trajectories(NamedTuple):
    """What n bodies did over T frames.

    Attributes:
        places: Centres, shape (T, n, 3).
        turns: Quaternions (w, x, y, z), shape (T, n, 4).
        velocities: Per second, shape (T, n, 3).
        spins: Angular velocities in the world's axes, radians per second, shape (T, n, 3).
        collisions: Frame and the two bodies of every collision, the lower number first, int64, shape (m, 3).
        spots: Where they touched, shape (m, 3).
    """

    places: np.ndarray
    turns: np.ndarray
    velocities: np.ndarray
    spins: np.ndarray
    collisions: np.ndarray
    spots: np.ndarray


def simulate(movers: Sequence[Mover], frames: int, law: Law) -> Trajectories:
    """Return the course of bodies; frame 0 is their start.

    Raises:
        InputError: MuJoCo is not installed.
    """
    mujoco = engine()
    model = mujoco.MjModel.from_xml_string(_xml(movers, law))
    data = mujoco.MjData(model)
    rolling = np.repeat([mover.shape == "sphere" for mover in movers], 6)
    slowing = np.exp(
        -law.rolling * law.frame
    )  # of whole balls: friction that acts on their turning alone makes them slide
    record = _CourseRecord(len(movers))
    rows = []
    for frame in range(frames):
        for number, mover in enumerate(movers):
            if mover.entry == frame:
                data.qvel[6 * number : 6 * number + 6] = _start(mover)
        rows.append((data.qpos.reshape(-1, 7).copy(), data.qvel.reshape(-1, 6).copy()))
        for _ in range(law.substeps):
            mujoco.mj_step(model, data)
            record.look(data, frame)
        data.qvel[rolling] *= slowing
    return _course(rows, record)


class _CourseRecord:
    """Collisions seen so far; a pair that stays in touch counts once."""

    def __init__(self, count: int) -> None:
        self.last = np.full((count, count), -1_000)
        self.found: list[tuple[int, int, int]] = []
        self.spots: list[np.ndarray] = []

    def look(self, data: Any, frame: int) -> None:
        """Note the pairs of bodies in touch; geom 0 is the floor."""
        pairs = np.sort(data.contact.geom, axis=1) - 1
        for number in np.flatnonzero(pairs[:, 0] >= 0):
            first, second = (int(body) for body in pairs[number])
            if frame - self.last[first, second] > _APART:
                self.found.append((frame, first, second))
                self.spots.append(data.contact.pos[number].copy())
            self.last[first, second] = frame


def _start(mover: Mover) -> np.ndarray:
    """Return the six velocities with which a body sets out; balls roll."""
    across, up = mover.velocity
    spin = (-up / mover.half, across / mover.half) if mover.shape == "sphere" else (0.0, 0.0)
    cos, sin = np.cos(mover.turn), np.sin(mover.turn)  # MuJoCo's angular velocities are in the body's axes
    local = (cos * spin[0] + sin * spin[1], -sin * spin[0] + cos * spin[1])
    return np.array([across, up, 0.0, *local, 0.0])


def _course(rows: list[tuple[np.ndarray, np.ndarray]], record: _CourseRecord) -> Trajectories:
    poses, speeds = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    turns = poses[..., 3:]
    return Trajectories(
        poses[..., :3],
        turns,
        speeds[..., :3],
        turned(turns, speeds[..., 3:]),
        np.array(record.found, np.int64).reshape(-1, 3),
        np.array(record.spots).reshape(-1, 3),
    )


def turned(quaternions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3) turned by quaternions (..., 4)."""
    scalar, axis = quaternions[..., :1], quaternions[..., 1:]
    across = 2 * np.cross(axis, vectors)
    return np.asarray(vectors + scalar * across + np.cross(axis, across))


def euler(quaternions: np.ndarray) -> np.ndarray:
    """Return turns about x, then y, then z of the world, radians, shape (..., 3)."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1, 1))
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.stack([roll, pitch, yaw], -1)


def _xml(movers: Sequence[Mover], law: Law) -> str:
    fading = np.log(max(law.restitution, 1e-3))
    damping = float(2 * _STIFF * -fading / np.sqrt(np.pi**2 + fading**2))
    bodies = "".join(_body(mover) for mover in movers)
    grip = f'friction="{law.friction!r} 0 0"' if law.friction else 'condim="1"'
    return f"""<mujoco>
  <option timestep="{law.frame / law.substeps!r}" gravity="0 0 {-law.gravity!r}" integrator="implicitfast"/>
  <default><geom solref="{-(_STIFF**2)!r} {-damping!r}" solimp="0.99 0.99 0.001" friction="0.1 0 0" mass="1"/></default>
  <worldbody>
    <geom type="plane" size="100 100 1" priority="1" solref="{_FLOOR}" {grip}/>
    {bodies}
  </worldbody>
</mujoco>"""


def _body(mover: Mover) -> str:
    kind = {"cube": "box", "sphere": "sphere", "cylinder": "cylinder"}[mover.shape]
    half, (x, y) = float(mover.half), mover.place
    turn = f"{float(np.cos(mover.turn / 2))!r} 0 0 {float(np.sin(mover.turn / 2))!r}"
    return (
        f'<body pos="{x!r} {y!r} {half!r}" quat="{turn}"><freejoint/>'
        f'<geom type="{kind}" size="{half!r} {half!r} {half!r}"/></body>'
    )
