import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import documents
from shared.documents import Document
from shared.errors import DefinitionsInvalid, Problem


def read(raw: str | bytes) -> Document:
    with TemporaryDirectory() as folder:
        path = Path(folder, "document.yml")
        path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        return documents.read(path, root=Path(folder))


def problem(raw: str | bytes) -> Problem:
    with pytest.raises(DefinitionsInvalid) as caught:
        read(raw)
    [found] = caught.value.problems
    return found


def test_reads_values_as_az_ml_does() -> None:
    found = read(
        "name: churn\n"
        "inputs: {rate: 0.5, seed: 7, fast: true, text: '7', none: }\n"
        "jobs:\n"
        "  - a\n"
        "  - [b, c]\n"
    )

    assert found.file == "document.yml"
    assert found.content == {
        "name": "churn",
        "inputs": {"rate": 0.5, "seed": 7, "fast": True, "text": "7", "none": None},
        "jobs": ["a", ["b", "c"]],
    }


def test_knows_the_line_of_every_value() -> None:
    found = read("a: 1\n\nb:\n  c:\n    - x\n    - y: 1\n      z:\n        2\n")

    assert found.line(("a",)) == 1
    assert found.line(("b",)) == 3
    assert found.line(("b", "c")) == 4
    assert found.line(("b", "c", 0)) == 5
    assert found.line(("b", "c", 1, "z")) == 7


def test_the_line_of_what_is_missing_is_that_of_what_is_around_it() -> None:
    found = read("a: 1\nb:\n  c: 1\n")

    assert found.line(("b", "c", "deeper", 3)) == 3
    assert found.line(("b", "missing")) == 2
    assert found.line(("nothing",)) == 1
    assert found.problem(("b", "missing"), "is missing") == Problem(
        file="document.yml", line=2, message="is missing"
    )


def test_an_alias_stands_for_its_value() -> None:
    assert read("a: &x [1, 2]\nb: *x\n").content["b"] == [1, 2]


def test_a_merge_adds_keys() -> None:
    assert read("base: &base {x: 1}\nd: {<<: *base, y: 2}\n").content["d"] == {"x": 1, "y": 2}


def test_a_key_of_its_own_goes_before_a_merged_one() -> None:
    # https://yaml.org/type/merge.html, and what `az ml job create` accepts.
    assert read("base: &base {x: 1}\nd: {<<: *base, x: 2}\n").content["d"] == {"x": 2}


def test_a_key_of_its_own_keeps_its_line() -> None:
    found = read("base: &base\n  x: 1\nd:\n  x: 2\n  <<: *base\n")

    assert found.content["d"] == {"x": 2}
    assert found.line(("d", "x")) == 4


def test_merges_of_merges_are_like_az_ml_s() -> None:
    found = read(
        "one: &one {x: 1, y: 1}\ntwo: &two {<<: *one, y: 2}\nd: {<<: [*two, {x: 3, z: 3}]}\n"
    )

    assert found.content["d"] == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize("value", ["5", "[5]", "text"])
def test_a_merge_needs_mappings(value: str) -> None:
    assert problem(f"a: 1\nb: {{<<: {value}}}\n").line == 2


@pytest.mark.parametrize(
    ("raw", "line", "message"),
    [
        ("a: 1\nb: [\n", 3, "is not YAML"),
        ("a: 1\nb: 1\na: 2\n", 3, "the key 'a' twice"),
        ("a:\n  b: 1\n  b: 1\n", 3, "the key 'b' twice"),
        ("a: 1\n2: b\n", 2, "the key 2, which is not text: quote it"),
        ("a: 1\non: b\n", 2, "the key True, which is not text: quote it"),
        ("a: 1\n? [x]\n: b\n", 2, "which is not text"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "is not YAML"),
        ("a: 1\n---\nb: 1\n", 2, "another document"),
        ('a: 1\nb: "\\ud800"\n', 2, "half of a surrogate pair, which is not Unicode"),
        ('a: 1\n"\\ude00": b\n', 2, "half of a surrogate pair, which is not Unicode"),
        ("- a\n", 0, "not a YAML mapping"),
        ("", 0, "is empty"),
        ("# later\n", 0, "is empty"),
        ("a: 1\n\tb: 1\n", 2, "indent with spaces, never with a tab"),
        ("just text", 0, "not a YAML mapping"),
        (b"a: \xff\n", 0, "is not YAML"),
        (b"a: \x00\n", 0, "is not YAML"),
        ("a: " + "[" * 500, 0, "nested too deeply"),
        ("a: &a [*a]\n", 0, "nested too deeply"),
        ("# " + "x" * documents.MAX_SIZE, 0, "larger than 1048576 bytes"),
    ],
)
def test_names_the_place_and_what_is_wrong(raw: str | bytes, line: int, message: str) -> None:
    found = problem(raw)

    assert (found.file, found.line) == ("document.yml", line)
    assert message in found.message


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(DefinitionsInvalid, match=r"^gone\.yml: cannot be read: No such file"):
        documents.read(tmp_path / "gone.yml", root=tmp_path)
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(DefinitionsInvalid, match="directory"):
        documents.read(tmp_path / "folder.yml", root=tmp_path)


def test_a_file_elsewhere_is_named_in_full(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("a: 1")

    assert documents.read(path, root=tmp_path / "other").file == str(path)


def test_aliases_that_multiply_are_refused_before_they_do() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    started = time.process_time()

    assert "holds more than 20000 values" in problem("\n".join(lines)).message
    assert time.process_time() - started < 2


def test_merges_that_multiply_are_refused_before_they_do() -> None:
    bomb = "{k: v}"
    for level in range(7):
        bomb = f"{{<<: [&a{level} {bomb}{f', *a{level}' * 8}]}}"
    started = time.process_time()
    problem(f"a: {bomb}")
    # Seven levels took 0.8 s, eight took ten, and ten take all memory there is.
    assert time.process_time() - started < 0.3


@pytest.mark.parametrize(("more", "fits"), [(100, True), (101, False)])
def test_values_are_counted_where_they_are_used(more: int, fits: bool) -> None:
    # The document, a list of 100 and 196 uses of it, and as many as fit beside them.
    assert documents.MAX_VALUES == 1 + 101 + (1 + 196 * 101) + (1 + 100)
    raw = f"a: &a [{'1,' * 100}]\nb: [{'*a,' * 196}]\nc: [{'1,' * more}]\n"
    if fits:
        assert len(read(raw).content["c"]) == more
    else:
        assert "more than 20000 values" in problem(raw).message


def readable_or_refused(raw: bytes) -> None:
    try:
        found = read(raw)
    except DefinitionsInvalid as error:
        assert all(str(problem).startswith("document.yml:") for problem in error.problems)
    else:
        assert isinstance(found.content, dict)


@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused(raw: bytes) -> None:
    readable_or_refused(raw)


YAML_PIECES = (
    "a b - : , [ ] { } ? & * &x *x <<: !!set !!binary ! | > ' \" # 1 0x1 2024-01-01 1:2 .nan"
)
_yaml = st.lists(st.sampled_from([*YAML_PIECES.split(), " ", "\n", "\n  "]), max_size=20)


@given(_yaml.map(" ".join))
def test_what_looks_like_yaml_is_read_or_refused(text: str) -> None:
    readable_or_refused(b"a: 1\n" + text.encode())


@pytest.mark.parametrize(
    "value", ["!!timestamp later", "!!bool perhaps", '!!int ""', '!!float ""', '!!int "-"']
)
def test_a_value_that_is_not_of_its_tag_is_refused_with_its_line(value: str) -> None:
    assert problem(f"a: 1\nb: {value}\n").line == 2


def test_what_json_escapes_by_two_halves_is_one_character() -> None:
    assert read('{"a": "\\ud83d\\ude00 \U0001f600"}').content == {"a": "\U0001f600 \U0001f600"}


def test_a_date_that_does_not_exist_has_a_line() -> None:
    assert problem("a: 1\nb: 2024-13-45\n").line == 2


@example(b"a: \xff")
@given(st.binary(min_size=1, max_size=4))
def test_a_problem_is_one_line(raw: bytes) -> None:
    try:
        read(raw)
    except DefinitionsInvalid as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("text", ["cron: */5 * * * *\n", "a: 1\ncron: @daily\n"])
def test_what_yaml_takes_for_something_else_is_to_be_quoted(text: str) -> None:
    found = problem(text)

    assert found.message.endswith("quote text that begins with '*', '&' or '@'")
    assert found.line == text.count("\n")
