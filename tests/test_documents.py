"""JSON and YAML texts: what they hold comes out, and nothing gets past the limits."""

import ast
import contextlib
import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewise.documents import DEEPEST, LARGEST_INTEGER, MOST_VALUES, check_plain, parse_json, parse_yaml
from scenewise.errors import InputError, printable
from scenewise.media.files import read_json, read_json_mapping, read_yaml

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | TEXTS
PLAIN = st.recursive(SCALARS, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4))


@settings(max_examples=40)
@given(PLAIN)
def test_plain_values_come_back(values):
    assert parse_json(json.dumps(values), "here", "values", "") == values
    assert parse_yaml(yaml.safe_dump(values)) == values


@settings(max_examples=80)
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


# -- nothing goes round the loaders ------------------------------------------------------------------------------------

LOADERS = {"src/scenewise/documents.py"}
PIPES = {f"src/scenewise/{name}.py" for name in ("batch/child", "batch/job", "batch/pool", "decompose/export/feed")}
"""What processes of one batch, or a process and its copy, tell each other, file names that are no UTF-8 among it."""
UNBOUNDED = {
    "json": {"load", "loads"},
    "yaml": {"load", "load_all", "safe_load", "safe_load_all", "full_load", "unsafe_load", "compose", "parse"},
    "pickle": {"load", "loads", "Unpickler"},
    "tomllib": {"load", "loads"},
    "marshal": {"load", "loads"},
}


def unbounded_calls(source):
    """Where a program reads JSON, YAML or TOML without limits: lines, whatever the module is called there."""
    if not any(name in source for name in UNBOUNDED):
        return []
    tree = ast.parse(source)
    modules, names = {}, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update({alias.asname or alias.name: alias.name for alias in node.names if alias.name in UNBOUNDED})
        elif isinstance(node, ast.ImportFrom) and node.module in UNBOUNDED:
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module and node.attr in UNBOUNDED[module]:
                lines.append(node.lineno)
        elif isinstance(node, ast.Name) and any(names.get(node.id) in calls for calls in UNBOUNDED.values()):
            lines.append(node.lineno)
    return sorted(lines)


def test_no_file_is_read_round_the_loaders():
    root = Path(__file__).parents[1]
    found = {
        f"{path.relative_to(root)}:{line}"
        for path in sorted((root / "src").rglob("*.py"))
        if path.relative_to(root).as_posix() not in LOADERS | PIPES
        for line in unbounded_calls(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.loads(x)",
        "import json as j\nvalues = [j.load(f) for f in files]",
        "from json import loads as parse\nparse(x)",
        "def f():\n    import yaml\n    return yaml.safe_load(x)",
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "import json\nread = json.loads",
    ],
)
def test_what_goes_round_them_is_seen(source):
    assert unbounded_calls(source)


def test_what_only_writes_is_not_seen():
    assert not unbounded_calls("import json, yaml\njson.dumps(x)\nyaml.safe_dump(x)\nfolder.load(x)")


# -- large texts are seen to be plain without a look at every value ----------------------------------------------------


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(-(1 << 70), 1 << 70), st.text(max_size=8), st.floats()),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner)),
        max_leaves=12,
    )
)
def test_the_quick_look_lets_nothing_pass_that_the_long_one_refuses(values):
    text = json.dumps(values)
    try:
        check_plain(json.loads(text))
        plain = True
    except ValueError:
        plain = False
    if plain:
        assert parse_json(text, "x", "values", "") == json.loads(text) or values != values or "NaN" in text
    else:
        with pytest.raises(InputError):
            parse_json(text, "x", "values", "")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r'"\\ud800"', True),
        (r'"\ud800"', False),
        (r'"\\\ud800"', False),
        (r'"\ud83d\ude00"', True),
        ('"123456789012345678901234567890"', True),
        ("[123456789012345678901234567890]", False),
        ("[0.12345678901234567890123456]", True),
        ("[" * 47 + "]" * 47, True),
        ("[" * 49 + "]" * 49, False),
        ('{"[[[[": "]]]]\\"{"}', True),
        ('{"a":' * 60 + "1" + "}" * 60, False),
        ('[{"a":' * 30 + "1" + "}]" * 30, False),
        ('[{"a":' * 23 + "1" + "}]" * 23, True),
        ("17", True),
        ('"\ud800"', False),
    ],
)
def test_texts_at_the_edge_of_what_is_plain(text, plain):
    if plain:
        assert parse_json(text, "x", "values", "") == json.loads(text)
    else:
        with pytest.raises(InputError):
            parse_json(text, "x", "values", "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 1}', "'a'"),
        ('{"b": [{"a": {"size": 1, "b": 2, "size": 3}}]}', "'size'"),
        ('{"a": 1, "\\u0061": 2}', "'a'"),
        ('{"": 1, "": 2}', "''"),
    ],
)
def test_a_key_that_is_there_twice_is_told(text, key):
    with pytest.raises(InputError, match=f"^card.json: expected a card; found: the key {key} twice in a mapping"):
        parse_json(text, "card.json", "a card", "")


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a: 1\nb: 2\na: 3", "'a'", 3),
        ("a: 1\n'a': 3", "'a'", 2),
        ("a:\n  - {steps: 1, steps: 2}", "'steps'", 2),
        ("1: x\n0x1: y", "1", 2),
        ("true: x\nTrue: y", "True", 2),
        ("~: x\nnull: y", "None", 2),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", "'<<'", 4),
    ],
)
def test_a_key_of_yaml_that_is_there_twice_is_told(text, key, line):
    with pytest.raises(ValueError, match=f"^the key {key} twice in a mapping, again in line {line}$"):
        parse_yaml(text)


def test_keys_of_yaml_that_stand_over_merged_ones_are_no_second_ones():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: [*a, *a]"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": [{"x": 1, "y": 2}] * 2}
