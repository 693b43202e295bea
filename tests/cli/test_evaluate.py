"""`scenewise evaluate`."""

import json

import pytest

from scenewise.checkpoint import Card, Reference

SMALL = ("--data", "balls", "--set", "size=16", "frames=5", "--samples", 5, "--batch", 2)


def test_evaluate_names_the_protocol_of_every_number(scenewise, model, tmp_path):
    file = tmp_path / "scores.json"
    code, out, _ = scenewise("evaluate", model, *SMALL, "--seeds", 0, 1, "--json", file)
    assert code == 0
    content = json.loads(file.read_text())
    assert {row["protocol"] for row in content["scores"]} == {"bound", "provide", "rnem", "savi"}
    assert all(len(row["values"]) == 2 and row["std"] is not None for row in content["scores"])
    assert content["scores"][0]["videos"] == 5
    assert content["data"]["fingerprint"]
    assert "±" in out


def test_evaluate_is_repeatable_and_protocols_are_chosen(scenewise, model, tmp_path):
    found = []
    for name in "ab":
        words = ("--protocol", "savi", "--slots", 4, "--json", tmp_path / name)
        assert scenewise("evaluate", model, *SMALL, *words)[0] == 0
        found.append(json.loads((tmp_path / name).read_text())["scores"])
    assert found[0] == found[1]
    assert {row["protocol"] for row in found[0]} == {"savi"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "bals"), "balls"),
        ((*SMALL, "--protocol", "savy"), "savi"),
        ((*SMALL, "--frames", 6), "frames"),
        ((*SMALL, "--samples", 0), "--samples"),
        ((*SMALL, "--json", "/nowhere/scores.json"), "/nowhere"),
        (("--data", "balls", "--set", "siez=16"), "size"),
        (("--data", "balls"), "16, 16"),
    ],
)
def test_evaluate_says_what_is_wrong(scenewise, model, words, message):
    code, _, err = scenewise("evaluate", model, *words)
    assert code == 2
    assert message in err


def test_other_refinements_than_were_validated_are_told_in_one_line(scenewise, untrained):
    card = Card(name="ranged", validated=Reference(refinements=(3, 9)))
    ranged, plain = untrained("provide", card), untrained("iodine", Card(name="plain"))
    for model, asked, line in (
        (ranged, 12, "note: 12 refinements: ranged may do worse; its scores were validated with 3 to 9.\n"),
        (ranged, 9, ""),
        (plain, 5, "note: 5 refinements: plain may do worse; it was trained with 2.\n"),
    ):
        code, _, err = scenewise("evaluate", model, *SMALL, "--refinements", asked)
        assert code == 0
        assert "".join(row for row in err.splitlines(keepends=True) if "refinements" in row) == line
    assert "refinements" not in scenewise("evaluate", ranged, *SMALL)[2]
