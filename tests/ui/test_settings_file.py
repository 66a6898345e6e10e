"""Settings from a file or a text: exact, honest about the data file, and refused where others could read with them."""

import pytest

from studio import presets
from studio.config import RunConfig
from studio.errors import ConfigError, DataError, ModelError
from studio.ui import launch, settings_file, uploads


@pytest.fixture
def shared(monkeypatch):
    """A page that others reach too."""
    monkeypatch.setattr(launch, "is_local", lambda: False)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_comes_back_exactly_and_is_recognized(name):
    config = presets.load(name)
    taken, told = settings_file.take(config.to_yaml())
    assert (taken, told) == (config, ())
    assert settings_file.preset_of(taken) == name
    assert settings_file.preset_of(taken.with_settings({"data.seed": 7})) is None


def test_an_unknown_key_is_refused_with_its_path():
    with pytest.raises(ConfigError, match=r"train\.epoch"):
        settings_file.take("train: {epoch: 3}")


def test_a_value_out_of_bounds_is_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match="from 1 to 512"):
        settings_file.take("lora: {r: 0}")


def test_a_data_file_that_is_not_here_is_said_to_be_elsewhere():
    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": "C:\\Users\\me\\가사.csv"}})
    with pytest.raises(DataError) as caught:
        settings_file.take(config.to_yaml())
    assert caught.value.key == "data.not_here"
    assert "The data file 가사.csv is not on this machine." in str(caught.value)


def test_the_same_upload_stands_in_for_the_path_of_another_machine(tmp_path):
    (tmp_path / "rows.csv").write_text("question,answer\na,b\n", encoding="utf-8")
    kept = uploads.keep(str(tmp_path / "rows.csv"))
    elsewhere = f"/home/other/uploads/{kept.name}"
    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": elsewhere}})
    taken, told = settings_file.take(config.to_yaml())
    assert taken.data.source.name == str(kept)
    assert told == ()


def test_an_upload_of_the_same_name_stands_in_and_it_is_told(tmp_path):
    (tmp_path / "rows.csv").write_text("question,answer\na,b\n", encoding="utf-8")
    kept = uploads.keep(str(tmp_path / "rows.csv"))
    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": "/data/rows.csv"}})
    taken, told = settings_file.take(config.to_yaml())
    assert taken.data.source.name == str(kept)
    assert [message.key for message in told] == ["ui.recipe.stands_in"]


def test_on_a_shared_page_a_path_opens_no_file_of_the_machine(shared, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("question,answer\na,b\n", encoding="utf-8")
    for section in ("source", "validation"):
        config = RunConfig().with_settings({f"data.{section}": {"kind": "file", "name": str(secret)}})
        with pytest.raises(DataError, match="not on this machine"):
            settings_file.take(config.to_yaml())
    kept = uploads.keep(str(secret))
    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": str(kept)}})
    assert settings_file.take(config.to_yaml())[0] == config
    with pytest.raises(ModelError):
        settings_file.take(f"model: {{id: {tmp_path}}}")


@pytest.mark.parametrize("named", ["..", "", "\x00", "a" * 5000, "/", "~nobody/x"])
def test_hostile_paths_are_refused_as_files_that_are_not_here(named):
    if not named:
        with pytest.raises(ConfigError):
            settings_file.take("data: {source: {kind: file, name: ''}}")
        return
    config = RunConfig().with_settings({"data.source": {"kind": "file", "name": named}})
    with pytest.raises(DataError):
        settings_file.take(config.to_yaml())


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\x80\x81\xff\x00" * 9)
    with pytest.raises(DataError, match=r"run\.yaml"):
        settings_file.read(str(path))


def test_a_mapping_that_is_found_by_itself_was_not_chosen(tiny_config):
    from studio.data import prepare

    found = tiny_config.with_settings({"data.mapping": prepare.mapping(tiny_config.data).mapping.model_dump()})
    assert settings_file.as_chosen(found) == tiny_config
    other = found.with_settings({"data.mapping": {"prompt": ("output",), "completion": "instruction"}})
    assert settings_file.as_chosen(other) == other
