"""Properties of settings: what is wrong is named, what is right comes back unchanged."""

import dataclasses
import typing
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.config import build, merge, nest, plain, replace, setting
from scenewise.errors import InputError, nearest


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = setting(0.5, "A share", minimum=0.0, maximum=1.0)
    kind: Literal["round", "square"] = setting("round", "A shape")
    maybe: int | None = setting(None, "Perhaps a number", minimum=1)
    sides: Literal[3, 5] = setting(3, "One of two numbers")
    widths: int | tuple[int, ...] = setting(8, "A number or several", minimum=1, maximum=64)

    def __post_init__(self) -> None:
        if self.kind == "square" and self.sides == 5:
            raise InputError("sides", "cannot be 5 where kind is 'square'.", "Use 3.")


@dataclasses.dataclass(frozen=True)
class Outer:
    count: int = setting(3, "A number", minimum=1, maximum=9)
    flag: bool = setting(False, "A switch")
    pair: tuple[int, int] = setting((1, 2), "Two numbers", minimum=0, maximum=99)
    steps: tuple[tuple[int, int], ...] = setting((), "Pairs", minimum=0)
    inner: Inner = dataclasses.field(default_factory=Inner)
    many: tuple[Inner, ...] = dataclasses.field(default=())
    perhaps: Inner | None = dataclasses.field(default=None)


inners = st.builds(
    Inner,
    rate=st.floats(0, 1),
    kind=st.sampled_from(["round", "square"]),
    maybe=st.none() | st.integers(1, 10**6),
    widths=st.integers(1, 64) | st.lists(st.integers(1, 64), max_size=3).map(tuple),
)
outers = st.builds(
    Outer,
    count=st.integers(1, 9),
    flag=st.booleans(),
    pair=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3).map(tuple),
    inner=inners,
    many=st.lists(inners, max_size=2).map(tuple),
    perhaps=st.none() | inners,
)


@settings(max_examples=30)
@given(outers)
def test_plain_values_build_the_same_settings(made):
    assert build(Outer, plain(made), "test") == made


@settings(max_examples=30)
@given(outers)
def test_settings_survive_yaml(made):
    assert build(Outer, yaml.safe_load(yaml.safe_dump(plain(made))), "test") == made


@settings(max_examples=30)
@given(outers, st.integers(1, 9))
def test_replacing_one_setting_leaves_the_others(made, count):
    changed = replace(made, {"count": count, "inner": {"rate": 0.25}}, "test")
    assert changed == dataclasses.replace(made, count=count, inner=dataclasses.replace(made.inner, rate=0.25))


@given(st.sampled_from([f.name for f in dataclasses.fields(Outer)]), st.integers(0, 5), st.sampled_from("xyzq"))
def test_a_misspelt_key_is_named_with_the_nearest_right_one(name, place, letter):
    wrong = name[:place] + letter + name[place:]
    with pytest.raises(InputError) as caught:
        build(Outer, {wrong: 1}, "settings.yaml")
    assert f"unknown key {wrong}. Did you mean '{name}'?" in str(caught.value)
    assert str(caught.value).startswith("settings.yaml: ")


@given(st.integers() | st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_out_of_range_are_named_with_the_range(value):
    allowed = float(value).is_integer() and 1 <= value <= 9 if value == value and abs(value) < 1e300 else False
    if allowed:
        assert build(Outer, {"count": value}, "test").count == value
        return
    with pytest.raises(InputError, match=r"count (is .* allowed range \[1, 9\]|must be of type int)"):
        build(Outer, {"count": value}, "test")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_ranges_hold_inside_nested_settings(value):
    if 0 <= value <= 1:
        assert build(Outer, {"inner": {"rate": value}}, "test").inner.rate == value
        return
    with pytest.raises(InputError, match=r"inner\.rate is .* allowed range \[0\.0, 1\.0\]"):
        build(Outer, {"inner": {"rate": value}}, "test")


@given(
    st.dictionaries(
        st.sampled_from([*(f.name for f in dataclasses.fields(Outer)), "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=2),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_any_plain_values_give_settings_or_a_clear_error(values):
    try:
        made = build(Outer, values, "test")
    except InputError:
        return
    assert build(Outer, plain(made), "test") == made


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError) as caught:
        build(Outer, {"coun": 1, "flag": "yes", "pair": [1], "inner": {"rate": 2, "kind": "rond"}}, "test")
    for part in ("coun.", "flag must be", "pair must have 2 values", "inner.rate is 2", "Did you mean 'round'"):
        assert part in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Settings whose nested ones have other defaults than their class."""

    first: Inner = setting(Inner(kind="square", rate=0.25), "One shape")
    second: Inner = setting(Inner(), "Another")
    words: tuple[Literal["a", "b"], ...] = setting((), "Some words")


def test_what_nested_values_leave_out_is_as_in_the_fields_default():
    made = build(Shapes, {"first": {"rate": 1}, "second": {}}, "test")
    assert made == Shapes(Inner(kind="square", rate=1.0), Inner())
    assert build(Shapes, {"first": {"kind": "round"}}, "test").first == Inner(rate=0.25)
    assert Shapes().first == Inner(kind="square", rate=0.25)


def test_what_nested_settings_refuse_is_told_under_their_key_with_everything_else():
    with pytest.raises(InputError) as caught:
        build(Shapes, {"first": {"sides": 5}, "words": ["a", "c"], "third": 1}, "file")
    for part in ("first.sides cannot be 5 where kind is 'square'. Use 3", "words[1] is 'c'; allowed: a, b", "third"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"^sides: cannot be 5"):  # outermost settings are not under a key
        build(Inner, {"kind": "square", "sides": 5}, "file")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "rond"}, r"kind is 'rond'; allowed: round, square\. Did you mean 'round'"),
        ({"kind": None}, "kind is None; allowed: round, square"),
        ({"kind": ["round"]}, r"kind is \['round'\]; allowed"),
        ({"sides": 4}, "sides is 4; allowed: 3, 5"),
        ({"sides": True}, "sides is True; allowed"),
        ({"widths": "wide"}, "widths must be of type int, found 'wide'"),
        ({"widths": [8, "wide"]}, r"widths\[1\] must be of type int"),
        ({"widths": [8, 65]}, r"widths is 65; allowed range \[1, 64\]"),
        ({"widths": 65}, r"widths is 65; allowed range \[1, 64\]"),
    ],
)
def test_choices_and_ranges_come_from_the_annotation(values, message):
    with pytest.raises(InputError, match=message):
        build(Inner, values, "test")


def test_numbers_among_choices_may_be_written_with_a_point():
    found = build(Inner, {"sides": 5.0, "widths": [1, 2]}, "test")
    assert found == Inner(sides=5, widths=(1, 2))
    assert isinstance(found.sides, int)


INTEGERS = st.integers(-(2**64) + 1, 2**64 - 1)  # larger ones are refused
words = st.text("abcdefgh_", min_size=1, max_size=6)


@settings(max_examples=50)
@given(st.lists(words, min_size=1, max_size=3), INTEGERS | st.booleans() | st.lists(INTEGERS, max_size=3))
def test_dotted_words_nest(path, value):
    found: typing.Any = nest([f"{'.'.join(path)}={yaml.safe_dump(value, default_flow_style=True).strip()}"])
    for key in path:
        found = found[key]
    assert found == value


@settings(max_examples=30)
@given(st.dictionaries(words, st.integers() | st.dictionaries(words, st.integers())), st.data())
def test_merging_nothing_and_merging_twice_change_nothing(base, data):
    over = data.draw(st.dictionaries(words, st.integers() | st.dictionaries(words, st.integers())))
    assert merge(base, {}) == base
    assert merge(merge(base, over), over) == merge(base, over)


@pytest.mark.parametrize("word", ["steps", "=3", "a=[1", "a={"])
def test_words_that_are_no_settings_are_refused(word):
    with pytest.raises(InputError):
        nest([word])


def test_nearest_names_all_where_none_is_near():
    assert nearest("qqq", ["alpha", "beta"]) == "Known: alpha, beta."
    assert nearest("alpa", ["alpha", "beta"]) == "Did you mean 'alpha'?"
