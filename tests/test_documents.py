"""JSON and YAML texts: what they hold comes out, and nothing gets past the limits."""

import contextlib
import json
import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.documents import DEEPEST, LARGEST_INTEGER, parse_json
from scenewise.errors import InputError, printable
from scenewise.media.documents import read_json, read_json_mapping, read_yaml
from scenewise.yaml_text import MOST_VALUES, parse_yaml

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | TEXTS
PLAIN = st.recursive(SCALARS, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4))


@settings(max_examples=60)
@given(PLAIN)
def test_plain_values_come_back(values):
    assert parse_json(json.dumps(values), "here", "values", "") == values
    assert parse_yaml(yaml.safe_dump(values)) == values


@settings(max_examples=150)
@given(st.text(max_size=40) | st.text("[]{}:,&*-?!|>'\"#% a1<\n", max_size=60))
def test_any_text_is_read_or_refused(text):
    for read, errors in ((lambda t: parse_json(t, "here", "values", ""), InputError), (parse_yaml, ValueError)):
        with contextlib.suppress(errors):
            read(text)


@pytest.mark.parametrize("deep", [DEEPEST, DEEPEST + 1])
def test_how_deep_values_nest(deep):
    text = "[" * deep + "]" * deep
    if deep <= DEEPEST:
        assert parse_json(text, "here", "values", "") == parse_yaml(text)
        return
    with pytest.raises(InputError, match="nested"):
        parse_json(text, "here", "values", "")
    with pytest.raises(ValueError, match="nested"):
        parse_yaml(text)


def test_aliases_count_as_often_as_they_stand_there():
    whole = f"a: &a [{'x, ' * 99}]\nb: [{'*a, ' * (MOST_VALUES // 100 - 10)}]"
    assert len(parse_yaml(whole)["b"]) == MOST_VALUES // 100 - 10
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml(whole.replace("b: [", f"b: [{'*a, ' * 20}"))


@pytest.mark.parametrize("number", [LARGEST_INTEGER + 1, -LARGEST_INTEGER - 1, 10**300])
def test_integers_beyond_64_bits(number):
    with pytest.raises(InputError, match="bits"):
        parse_json(json.dumps([number]), "here", "values", "")
    with pytest.raises(ValueError, match=r"bits|characters"):
        parse_yaml(f"[{number}]")


def test_files(tmp_path):
    (tmp_path / "list.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "list.json", "a list", "") == [1]
    with pytest.raises(InputError, match="a list in place of a mapping"):
        read_json_mapping(tmp_path / "list.json", "facts", "")
    with pytest.raises(InputError, match="larger than"):
        read_json(tmp_path / "list.json", "a list", "", most=3)
    (tmp_path / "half.json").write_bytes(b'"\xe9"')
    os.mkfifo(tmp_path / "pipe")
    for name in ("half.json", "pipe", "missing", "list.json/below", "x" * 300):
        with pytest.raises(InputError):
            read_json(tmp_path / name, "facts", "")
        with pytest.raises(InputError):
            read_yaml(tmp_path / name, "facts", "")


@given(st.text(max_size=50), st.integers(20, 30))
def test_what_is_printed_is_one_line_of_text(text, most):
    assert printable(text).replace("\xa0", " ").isprintable()
    assert len(printable(text, most)) <= most


def test_names_keep_their_letters():
    assert printable("video[final] été 東京 😀.mp4") == "video[final] été 東京 😀.mp4"
    assert printable("a\u202eb\x9b31m") == "a\\u202eb\\x9b31m"


def test_the_line_of_an_error_keeps_its_remedy():
    line = InputError("clip.mp4", "found " + "x" * 5000, "Copy it again.").line()
    assert line.startswith("clip.mp4: found xxx")
    assert line.endswith(" Copy it again.")
    assert len(line) < 600
