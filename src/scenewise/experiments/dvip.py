"""DVIP's Table 2 and its figures on moving digits: does a latent whose parts are predicted alone take digits apart?

Every model is measured on unseen clips: ELBO per frame, information between consecutive frames within and across parts
(Kraskov), correlations of units (Fig. 2), pictures in which one part moves at a time (Fig. 3). An entangled latent has
no parts: as in the paper 20 random divisions of its units are tried and the one with the largest difference of the two
is reported; beside it their mean.

Information is estimated in two ways. Ours is in nats, of 5,000 independent pairs of frames, units standardised. The
paper's is in bits, of 1,000 pooled pairs, units as they are (`pooled_transfer`; the text does not say so, the authors'
public code does): only that stands beside its numbers, and only where d is alike, which the paper does not tell (25 by
default in the code). Either is far too low in many dimensions: compare factored with entangled first. The last lines of
the table show how low ours is on Gaussians of the same sizes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scenewise.errors import InputError
from scenewise.experiments.results import Presentation, Spread, markdown, over_seeds
from scenewise.media.contact_sheet import contact_sheet
from scenewise.metrics import (
    NEIGHBOURS,
    POOLED,
    best_partition,
    block_contrast,
    gaussian_bias,
    gaussian_information,
    latent_correlation,
    pooled_transfer,
    random_partitions,
    transfer,
)

if TYPE_CHECKING:  # torch and models are imported where they compute, so that results are shown in a second
    from collections.abc import Iterator, Sequence

    import torch

    from scenewise.checkpoint import LoadedModel
    from scenewise.data.contract import Source
    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.experiments.experiment import Experiment
    from scenewise.experiments.results import CellResult, Draw
    from scenewise.models.dvip import Dvip

CLIPS, FRAMES = 5000, 10
"""Unseen clips that are measured, N of the estimates: one pair of frames from each."""

DEAD = 0.05
"""Share of a clip's KL below which a part is dead: its run takes nothing apart, whatever its cross information."""

APART = 0.8
"""Share of the pictures' change in the right channels from which on digits count as taken apart; 1 / K is chance."""

DRIFT = 0.1
"""Fall of the split from which on parts that were held to digits are not said to stay there."""

PLACE_SHARE = 0.5
"""Share of a digit's places (R²) that a part must tell, or the digit is missed: what is not there is not apart."""

STREET = 8
"""Parts that an entangled latent is divided into where objects are not always as many, as on the paper's street."""

_COMPARED = 16  # clips whose numbers of objects are compared
_AT_ONCE = 50  # clips explained together; bounds the memory
_SHOWN = 200  # clips of which parts are moved one at a time
_DRAWN = 4  # clips in the picture
_FIRST = 1  # frame from which on velocities are known, counted from 0: the paper freezes parts at its t = 2
_SEED = 1  # posterior noise, pairs, divisions
_TRUTHS = (gaussian_information(0.9), 2.0, 4.6)  # nats, of the controls


class Latents(NamedTuple):
    """What a model infers of N clips of T frames.

    Attributes:
        samples: Of q, float32, shape (N, T, K, d).
        kl: Of each part, nats, shape (N, T, K).
        log_likelihood: Shape (N, T).
    """

    samples: np.ndarray
    kl: np.ndarray
    log_likelihood: np.ndarray


def measure(folder: CellFolder, model: LoadedModel) -> dict[str, Any]:
    """Measure a cell's model on test clips.

    Raises:
        InputError: The model is no DVIP.
    """
    source = folder.source()
    latents = infer(_dvip(folder, model), source, min(CLIPS, len(source)), FRAMES)
    return measurements(_dvip(folder, model), source, latents)


def pictures(folder: CellFolder, model: LoadedModel) -> dict[str, np.ndarray]:
    """Return clips in which one part moves at a time, of the first seed.

    Raises:
        InputError: The model is no DVIP.
    """
    dvip = _dvip(folder, model)
    if folder.cell.seed:
        return {}
    samples = infer(dvip, folder.source(), _DRAWN if dvip.config.slots <= _DRAWN else 1, FRAMES).samples
    return {"independent": picture(independent(dvip, samples)[:-1])}


def _dvip(folder: CellFolder, model: LoadedModel) -> Dvip:
    from scenewise.models.dvip import Dvip

    if not isinstance(model.model, Dvip):
        raise InputError(folder.cell.name, f"is a model of kind {model.model.registered_name}; expected dvip.")
    return model.model


def measurements(model: Dvip, source: Source, latents: Latents, neighbours: int = NEIGHBOURS) -> dict[str, Any]:
    """Return what a model shows, as plain values; what is not known, such as the split without parts, is None.

    Keys: elbo (nats per frame, constants included) and elbo_error (its standard error over clips), log_likelihood,
    kl_first and kl_later (of the first and of a later frame), kl_parts (share of each part in a clip's KL), dead
    (parts that are), information (same, cross, same_mean and cross_mean over the divisions tried, same_low and
    cross_low of two principal components of each part), authors (see `authors_information`), correlation (of units,
    Z x Z) and contrast (mean size inside parts over outside), split (see `split`), explained (see `explained`), d,
    samples, neighbours and controls (see `_controls`).
    """
    clips, frames, parts, _ = latents.samples.shape
    units = latents.samples[0, 0].size
    bound = (latents.log_likelihood - latents.kl.sum(2)).mean(1)
    shares = latents.kl.sum((0, 1)) / latents.kl.sum()
    flat = latents.samples[:, _FIRST:].reshape(clips, -1, units)
    correlation = latent_correlation(*(half.reshape(-1, units) for half in (flat[:, :-1], flat[:, 1:])))
    places = _positions(source, clips, frames)
    division = max(parts, STREET if places is None else places.shape[2])
    return {
        "elbo": float(bound.mean()),
        "elbo_error": float(bound.std(ddof=1) / math.sqrt(clips)),
        "log_likelihood": float(latents.log_likelihood.mean()),
        "kl_first": float(latents.kl[:, 0].sum(1).mean()),
        "kl_later": float(latents.kl[:, 1:].sum(2).mean()),
        "kl_parts": shares.tolist(),
        "dead": [part for part, share in enumerate(shares) if share < DEAD],
        "information": information(*pairs(latents.samples), parts if parts > 1 else None, division, neighbours),
        "authors": authors_information(latents.samples, division),
        "correlation": [[None if math.isnan(v) else float(v) for v in row] for row in correlation],
        "contrast": block_contrast(correlation, parts) if parts > 1 else None,
        "split": split(model, latents.samples[:_SHOWN]) if parts > 1 and places is not None else None,
        "explained": None if places is None else explained(latents.samples[:, _FIRST:], places[:, _FIRST:]).tolist(),
        "d": units // division,
        "samples": clips,
        "neighbours": neighbours,
        "controls": _controls(units // division, clips, neighbours),
    }


def infer(model: Dvip, source: Source, clips: int, frames: int) -> Latents:
    """Return what a model infers of the first clips of a source; noise depends on the clip alone."""
    import torch

    from scenewise.observation import Observation
    from scenewise.variational.gaussian import Gaussian, seeded_noise

    device, parts = model.get_buffer("progress").device, []
    for at in range(0, clips, _AT_ONCE):
        indices = range(at, min(at + _AT_ONCE, clips))
        pixels = torch.from_numpy(np.stack([source.sample(i, 0, frames).frames for i in indices])).to(device)
        noise = torch.cat([seeded_noise(model.noise_shape(1, frames), _SEED, i, device=device) for i in indices])
        with torch.no_grad():
            d = model(Observation(pixels.float() / 255), noise=noise).decomposition
        posterior = Gaussian(d.mean, d.log_variance)
        kl = posterior.kl(Gaussian(d.prior_mean, d.prior_log_variance)).sum(-1)
        parts.append([x.cpu().numpy() for x in (posterior.sample(noise[:, :, 0]), kl, d.log_likelihood)])
    return Latents(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def pairs(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one pair of consecutive frames of each clip, so that pairs are independent.

    The first frame takes no part: its posterior knows no velocity.

    Args:
        samples: Latents, shape (N, T, K, d).

    Returns:
        The earlier and the later frame's, each (N, K d).

    Raises:
        InputError: Clips are too short.
    """
    clips, frames = samples.shape[:2]
    if frames < _FIRST + 2:
        raise InputError("frames", f"must be at least {_FIRST + 2}; found {frames}.")
    at = np.random.default_rng(_SEED).integers(_FIRST, frames - 1, clips)
    flat = samples.reshape(clips, frames, -1)
    return flat[np.arange(clips), at], flat[np.arange(clips), at + 1]


def information(
    earlier: np.ndarray, later: np.ndarray, parts: int | None, division: int, neighbours: int = NEIGHBOURS
) -> dict[str, float]:
    """Return what parts tell of their own and of others' future, in nats; see `measured`.

    Args:
        earlier: Latents at t, shape (N, Z).
        later: At t + 1.
        parts: K, or None for a latent without parts.
        division: Number of parts that such a latent is divided into.
        neighbours: k of the estimator.
    """
    units = earlier.shape[1]
    partitions = (
        random_partitions(units, division, seed=_SEED) if parts is None else np.arange(units).reshape(1, parts, -1)
    )
    transfers = [transfer(earlier, later, divided, neighbours) for divided in partitions]
    best = best_partition(transfers)
    two = [components(earlier[:, part], later[:, part]) for part in best.parts]
    before, after = (np.concatenate([sides[at] for sides in two], 1) for at in (0, 1))
    low = transfer(before, after, np.arange(before.shape[1]).reshape(len(two), -1), neighbours)
    means = {f"{name}_mean": float(np.mean([getattr(one, name) for one in transfers])) for name in ("same", "cross")}
    return {"same": best.same, "cross": best.cross, **means, "same_low": low.same, "cross_low": low.cross}


def authors_information(samples: np.ndarray, division: int) -> dict[str, float]:
    """Return what parts tell of their own and of others' future in bits, as DVIP's authors computed it.

    Args:
        samples: Latents, shape (N, T, K, d).
        division: Number of parts that a latent with K of 1 is divided into, at random and 20 times; the division of
            the largest difference counts.

    Returns:
        `same` and `cross`, see `pooled_transfer`; means over the divisions tried; and the number of `pairs`.
    """
    clips, frames, parts, size = samples.shape
    units, flat = parts * size, samples.reshape(clips, frames, -1)
    partitions = (
        random_partitions(units, division, seed=_SEED) if parts == 1 else np.arange(units).reshape(1, parts, -1)
    )
    transfers = [pooled_transfer(flat, divided) for divided in partitions]
    best = best_partition(transfers)
    means = {f"{name}_mean": float(np.mean([getattr(one, name) for one in transfers])) for name in ("same", "cross")}
    return {"same": best.same, "cross": best.cross, **means, "pairs": min(POOLED, clips * (frames - 1))}


def components(earlier: np.ndarray, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components, of both frames together, of (N, d) and (N, d): two arrays (N, 2)."""
    units = np.concatenate([earlier, later]).astype(np.float64)
    units = (units - units.mean(0)) / np.maximum(units.std(0), 1e-12)
    axes = np.linalg.svd(units, full_matrices=False)[2][:2]
    first, second = np.split(units @ axes.T, 2)
    return first, second


def independent(model: Dvip, samples: np.ndarray) -> torch.Tensor:
    """Draw clips with one part moving and all others frozen at the second frame (dvip.md 8).

    Args:
        model: The model.
        samples: Latents, shape (N, T, K, d).

    Returns:
        Pixels' means: everything moves, then each part alone, last nothing; shape (K + 2, N, T - 1, C, H, W).
    """
    import torch

    moving = torch.from_numpy(samples[:, _FIRST:]).to(model.get_buffer("progress").device)
    frozen = moving[:, :1].expand_as(moving)
    mask = torch.eye(moving.shape[2], dtype=torch.bool, device=moving.device)[:, None, None, :, None]
    latents = torch.cat([moving[None], torch.where(mask, moving, frozen), frozen[None]])
    with torch.no_grad():
        return torch.stack([model.draw(row) for row in latents]).cpu()


def split(model: Dvip, samples: np.ndarray) -> float:
    """Return the share of squared change in the right channel when parts move alone, best assignment: 1.0 is perfect.

    Needs objects on channels of their own; 1 / K is chance.
    """
    from scipy.optimize import linear_sum_assignment

    pictures = independent(model, samples)
    change = (pictures[1:-1] - pictures[-1]).square().sum((1, 2, 4, 5)).numpy()  # (K, C)
    assignment = linear_sum_assignment(change, maximize=True)
    return float(change[assignment].sum() / change.sum())


def explained(samples: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return how much of the digits' places each part tells: R² of a quadratic regression on clips it never saw.

    Args:
        samples: Latents, shape (N, T, K, d).
        positions: Shape (N, T, n, 2).

    Returns:
        Shape (K, n, 2); 1 is all, 0 or below nothing.
    """
    half, shares = len(samples) // 2, []
    target = positions.reshape(*positions.shape[:2], -1)
    fit, test = (clips.reshape(-1, target.shape[-1]) for clips in (target[:half], target[half:]))
    for part in range(samples.shape[2]):
        z = samples[:, :, part].astype(np.float64)
        inputs = np.concatenate([z, z**2, np.ones_like(z[..., :1])], -1)
        weights = np.linalg.lstsq(inputs[:half].reshape(-1, inputs.shape[-1]), fit, rcond=None)[0]
        errors = test - inputs[half:].reshape(-1, inputs.shape[-1]) @ weights
        shares.append(1 - errors.var(0) / test.var(0))
    return np.array(shares).reshape(samples.shape[2], *positions.shape[2:])


def _positions(source: Source, clips: int, frames: int) -> np.ndarray | None:
    """Return where objects are, shape (N, T, n, 2); None where that is not told, or they are not always as many."""
    few = [source.sample(i, 0, frames).extras.get("positions") for i in range(min(clips, _COMPARED))]
    shapes = {None if place is None else place.shape for place in few}
    if None in shapes or len(shapes) > 1:
        return None
    return np.stack([source.sample(i, 0, frames).extras["positions"] for i in range(clips)])


# -- what is shown --------------------------------------------------------------------------------------------------


def show(experiment: Experiment, results: Sequence[CellResult]) -> Presentation:
    """Show the table, one row per run and one per model, and the correlations of every model's first seed."""
    runs = [result for result in results if "measured" in result.scores]
    rows = [{"model": r.cell.model, "seed": r.cell.seed, **r.scores["measured"]} for r in runs]
    controls = rows[0].get("controls", {}) if rows else {}
    head = (
        *("model", "seed", "ELBO", "log p", "KL 1", "KL later", "KL by part", "same", "cross", "cross/same"),
        *("same, bits", "cross, bits", "cross/same", "two components", "contrast", "split", "note"),
    )
    lines = [*map(_line, rows), *_means(experiment, runs)]
    notes = [*_notes(rows)]
    if controls:
        values = ", ".join(f"{estimate:.2f} where the truth is {true}" for true, estimate in controls.items())
        notes.append(f"The same estimator on Gaussians of the same sizes: {values}.")
    text = markdown(head, lines) + "".join(f"\n{note}\n" for note in notes)
    text += table_of_release(rows)
    figures = {f"correlation-{row['model']}": _heat_map_figure(row) for row in rows if row["seed"] == rows[0]["seed"]}
    return Presentation(text, {"rows": rows, "controls": controls}, figures)


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    nats = row["information"]
    note = f"part {row['dead']} is dead" if row["dead"] else "apart" if is_apart(row) else ""
    note = note or (f"digit {missing_digits(row)} is missed" if missing_digits(row) else "")
    if row["split"] is None:
        note = f"mean of 20 divisions {nats['same_mean']:.2f}, {nats['cross_mean']:.2f}; {note}".removesuffix("; ")
    return (
        row["model"],
        str(row["seed"]),
        f"{row['elbo']:.1f} ± {row['elbo_error']:.1f}",
        *(f"{row[name]:.1f}" for name in ("log_likelihood", "kl_first", "kl_later")),
        " ".join(f"{share:.2f}" for share in row["kl_parts"]),
        f"{nats['same']:.2f}",
        f"{nats['cross']:.2f}",
        f"{nats['cross'] / nats['same']:.2f}",
        *_bits(row.get("authors")),
        f"{nats['same_low']:.2f}, {nats['cross_low']:.2f}",
        *("" if row[name] is None else f"{row[name]:.2f}" for name in ("contrast", "split")),
        note,
    )


def _bits(estimates: dict[str, float] | None) -> tuple[str, str, str]:
    """Return the columns of the authors' estimates; models that were measured before there were any have none."""
    if estimates is None:
        return "", "", ""
    return f"{estimates['same']:.2f}", f"{estimates['cross']:.2f}", f"{estimates['cross'] / estimates['same']:.2f}"


def is_apart(row: dict[str, Any]) -> bool:
    """Return whether each part of a run holds a digit: none is dead, none missed, the split at least `APART`."""
    countable = not row["dead"] and not missing_digits(row) and row["split"] is not None
    return countable and bool(row["split"] >= APART)


def missing_digits(row: dict[str, Any]) -> list[int]:
    """Return the digits of which no part tells the place."""
    if row["explained"] is None:  # a street has none
        return []
    shares = np.array(row["explained"]).mean(2).max(0)
    return [int(digit) for digit in np.flatnonzero(shares < PLACE_SHARE)]


def table_of_release(rows: Sequence[dict[str, Any]]) -> str:
    """Return whether parts that were held to digits stay there once they are released, seed by seed; maybe nothing."""
    stages = ("factored-shipped", "factored-held", "factored-released")
    by_stage = {stage: {row["seed"]: row for row in rows if row["model"] == stage} for stage in stages}
    held, released = (by_stage[stage] for stage in stages[1:])
    if not held:
        return ""
    lines = []
    for seed in held:
        runs = [by_stage[stages[0]].get(0), held[seed], released.get(seed)]
        texts = ["-" if run is None else f"{run['split']:.2f}, {run['elbo']:.1f}" for run in runs]
        lines.append([str(seed), *texts, _verdict(held[seed], released.get(seed))])
    head = ["seed", "before: split, ELBO", "held: split, ELBO", "released: split, ELBO", "digits apart"]
    return "\n## Does the objective hold digits apart once they are?\n\n" + markdown(head, lines)


def _verdict(held: dict[str, Any], released: dict[str, Any] | None) -> str:
    if not is_apart(held):
        return "were not, so it tells nothing"
    if released is None:
        return "not released yet"
    if not is_apart(released):
        return "and mix again"
    return "and stay" if held["split"] - released["split"] <= DRIFT else "and drift together"


def _means(experiment: Experiment, results: Sequence[CellResult]) -> Iterator[tuple[str, ...]]:
    """Give a row per model: means over the runs without a dead part, then the paper's own."""
    for (model, *_), together in over_seeds(results).items():
        rows = [result.scores["measured"] for result in together]
        alive = [row for row in rows if not row["dead"]]
        elbo = Spread.of(row["elbo"] for row in alive)
        same, cross = (Spread.of(row["information"][name] for row in alive) for name in ("same", "cross"))
        count = f"{sum(map(is_apart, rows))} of {len(rows)} apart" if rows[0]["split"] is not None else ""
        ratio = f"{cross.mean / same.mean:.2f}"
        bits = [row["authors"] for row in alive if "authors" in row]
        pooled = [Spread.of(one[name] for one in bits).text(2) for name in ("same", "cross")] if bits else ["", ""]
        pooled.append(
            _bits({n: float(np.mean([one[n] for one in bits])) for n in ("same", "cross")})[2] if bits else ""
        )
        cells = (elbo.text(1), "", "", "", "", same.text(2), cross.text(2), ratio, *pooled, "", "", "", count)
        yield (model, "all", *cells)
        if model in experiment.published:
            paper = experiment.published[model]
            yield (model, "paper", f"{paper['elbo']:g}", *[""] * 7, *_bits(paper), "", "", "", "64 x 64")


def _controls(*size: int) -> dict[str, float]:
    """Return estimates on Gaussians of d, samples and neighbours of a measurement, by their true information."""
    return {f"{true:.2f}": true + gaussian_bias(true, *size) for true in _TRUTHS}


def _notes(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for size in dict.fromkeys((row["d"], row["samples"], row["neighbours"]) for row in rows):
        yield (
            f"ELBO, log p and KL in nats per frame; information in nats, parts of {size[0]} units, {size[1]} pairs of "
            f"frames, {size[2]} neighbours. Split: share of change in the right channel when one part moves."
        )
    if any("authors" in row for row in rows):
        count = max(row["authors"]["pairs"] for row in rows if "authors" in row)
        yield (
            f"In bits, as the paper's authors computed theirs: the last {count} pooled pairs, units as they are, the "
            "past of part i with the future of part j for i < j. Only these stand beside the paper's."
        )


def _heat_map_figure(row: dict[str, Any]) -> Draw:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        image = axes.imshow(np.abs(np.array(row["correlation"], float)), vmin=0, vmax=1, cmap="viridis")
        for border in range(1, len(row["kl_parts"])):
            at = border * len(row["correlation"]) / len(row["kl_parts"]) - 0.5
            axes.axhline(at, color="white")
            axes.axvline(at, color="white")
        axes.set(title=f"{row['model']}, |correlation|", xlabel="unit at t + 1", ylabel="unit at t")
        figure.colorbar(image)

    return draw


def picture(pixels: torch.Tensor) -> np.ndarray:
    """Return clips (rows, N, T, C, H, W) as one picture: clips below each other, each with its rows, frames along."""
    images = pixels.permute(1, 0, 2, 4, 5, 3).flatten(0, 1).numpy()  # (N rows, T, H, W, C)
    return contact_sheet([list(row) for row in images])
