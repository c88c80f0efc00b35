"""Settings are declared once: what a base, a YAML and the flags say about them, and what is refused."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from common.commands import UserError
from common.settings import at_least, load, parse, setting

DOC = """Do something.

    python -m something --out place
"""


@dataclass
class Shared:
    """What two commands would share."""

    out: str = setting("folder to write to")
    max_tokens: int = setting("most tokens", must=at_least(1))
    rate: float = setting("how fast", 0.5)
    name: str | None = setting("of this configuration", None)
    fresh: bool = setting("start over", False)
    price: tuple[float, float] | None = setting("in and out", None, nargs=2)


@dataclass
class Settings(Shared):
    """One of the two."""

    max_tokens: int = 7


def said(*flags: object, kind: type = Settings) -> dict:
    return asdict(parse(kind, [str(flag) for flag in flags], DOC))


def yaml(folder: Path, text: str, name: str = "row.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_flags_have_the_last_word_over_a_yaml_over_its_base_over_the_defaults(tmp_path: Path) -> None:
    defaults = {"max_tokens": 7, "rate": 0.5, "name": None, "fresh": False, "price": None}
    assert said("--out", "o") == {"out": "o", **defaults}
    yaml(tmp_path, "out: d/${name}\nname: base\nmax_tokens: 1\nrate: 1\n", "base.yaml")
    row = yaml(tmp_path, "base: base.yaml\nname: row\nmax_tokens: 2\n")
    assert said("--config", row) == {**defaults, "out": "d/row", "name": "row", "max_tokens": 2, "rate": 1.0}
    found = said("--config", row, "--name", "mine", "--max-tokens", 3)
    assert found == {**defaults, "out": "d/mine", "name": "mine", "max_tokens": 3, "rate": 1.0}


def test_a_reference_finds_the_environment_and_settings_that_nobody_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = yaml(tmp_path, "out: ${oc.env:SOME_PLACE,here}/${max_tokens}\nname: ${oc.env:SOME_NAME,null}\n")
    assert said("--config", row)["out"] == "here/7" and said("--config", row)["name"] is None
    monkeypatch.setenv("SOME_PLACE", "there")
    assert said("--config", row)["out"] == "there/7"


@pytest.mark.parametrize(
    "flags",
    [
        ("--max-tokens", "3", "--fresh", "--price", "1", "2.5"),
        ("--max_tokens=3", "--fresh", "true", "--price", "1", "2.5"),
        ("--fresh=yes", "--price", "1", "2.5", "--max-tokens=3"),
    ],
)
def test_a_flag_is_spelt_with_dashes_or_underscores_in_one_word_or_two(flags: tuple[str, ...]) -> None:
    found = said("--out", "o", *flags)
    assert (found["max_tokens"], found["fresh"], found["price"]) == (3, True, [1.0, 2.5])


@pytest.mark.parametrize(
    ("text", "flags", "sentence"),
    [
        ("", (), "--out must be said, as a flag or in --config"),
        ("out: o\n", ("--max-tokens", 0), "--max-tokens must be at least 1, not 0"),
        ("out: o\nmax_tokens: 0\n", (), "row.yaml: max_tokens must be at least 1, not 0"),
        ("out: o\n", ("--rate", "fast"), "--rate: Value 'fast' of type 'str' could not be converted to Float"),
        ("out: o\nrate: fast\n", (), "row.yaml: rate: Value 'fast' of type 'str' could not be converted to Float"),
        ("out: o\nrate: null\n", (), "row.yaml: rate: Incompatible value 'None'"),
        ("out: o\n", ("--fresh", "maybe"), "--fresh: Value 'maybe' is not a valid bool"),
        ("out: o\n", ("--price", "1", "much"), "--price: Value 'much'"),
        ("out: o\n", ("--price", "1"), "argument --price: expected 2 arguments"),
        ("out: o\n", ("--max", "1"), "unrecognized arguments: --max 1"),
        ("out: o\nmax_token: 1\n", (), "row.yaml: there is no key max_token, did you mean max_tokens?"),
        ("base: bad.yaml\n", (), "bad.yaml: there is no key outt, did you mean out?"),
        ("base: gone.yaml\n", (), "gone.yaml does not exist"),
        ("out: ${nobody}\n", (), "row.yaml: out: Interpolation key 'nobody' not found"),
        ("out: ${oops\n", (), "row.yaml is no YAML"),
        ("out: [o\n", (), "row.yaml is no YAML"),
        ("- out\n", (), "row.yaml holds no keys"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_file_or_the_flag(
    tmp_path: Path, text: str, flags: tuple[object, ...], sentence: str
) -> None:
    yaml(tmp_path, "outt: o\n", "bad.yaml")
    with pytest.raises(UserError) as refused:
        said("--config", yaml(tmp_path, text), *flags)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_yaml_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.yaml does not exist; name one that is there"):
        load(tmp_path / "gone.yaml")


def test_another_default_leaves_the_rest_as_it_was_declared() -> None:
    with pytest.raises(UserError, match="--out, --max-tokens must be said"):
        said(kind=Shared)
    with pytest.raises(UserError, match="--max-tokens must be at least 1"):
        said("--out", "o", "--max-tokens", 0)


def test_help_names_every_flag_with_its_default_and_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        said("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Do something." in text and text.endswith("example: python -m something --out place")
    for flag in ("--config CONFIG", "--out OUT folder to write to", "--max_tokens MAX_TOKENS most tokens (default: 7)"):
        assert flag in text
