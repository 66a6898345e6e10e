"""What the names of served models mean, and the line for vLLM."""

import json
import shlex

import pytest
import yaml

from studio.compare.columns import BASE
from studio.errors import ServeError, StudioError
from studio.runs import metadata
from studio.serve import vllm
from studio.serve.models import catalogue


@pytest.fixture
def served(tiny_and_pirate):
    return catalogue([run.id for run in tiny_and_pirate])


def test_names_are_those_of_the_runs(tiny_and_pirate, tiny_model):
    tiny, pirate = tiny_and_pirate
    metadata.rename(tiny, "Sea captain + co@home")
    metadata.rename(pirate, "base")

    models = catalogue([tiny.id, pirate.id, f"short={pirate.id}", "15"])

    assert models.listed == ["base", "Sea-captain-co-home", pirate.id, "short", "15", "restyle"]
    assert models.resolve(str(tiny_model)).column == models.resolve("base").column == BASE
    assert models.resolve("15").column.adapter == "step-000015"


def test_strengths_and_mixtures_are_columns_of_compare(served, tiny_and_pirate):
    tiny, pirate = tiny_and_pirate

    def column(name):
        resolved = served.resolve(name).column
        return resolved.adapter, resolved.strength

    assert column("pirate@0.7") == (pirate.id, 0.7)
    assert column("tiny+pirate") == (f"mix:{tiny.id}=0.5,{pirate.id}=0.5@cat", 1.0)
    assert column("tiny*0.9+pirate*0.3@1.2") == (f"mix:{tiny.id}=0.9,{pirate.id}=0.3@cat", 1.2)
    assert served.resolve("pirate+tiny").run.id == pirate.id
    assert column("restyle") == (tiny.id, 1.0)
    assert column("restyle@0.4") == (tiny.id, 0.4)
    assert column("restyle:pirate+tiny") == column("pirate+tiny")
    assert served.resolve("restyle:pirate").run.id == pirate.id
    assert [served.resolve(name).rewrites for name in ("restyle", "restyle@1", "restyle:tiny", "tiny")] == [
        *(True, True, True, False),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("", "sailor", "tiny@", "tiny@x", "tiny@-1", "tiny@9", "base@0.5", "base+tiny", "tiny+", "tiny+tiny"),
        *("tiny*9+pirate", "restyle:", "restyle:base", "restyled", "mix:tiny=1,pirate=1", "../tiny", "tiny@0.5@0.5"),
    ],
)
def test_other_names_are_refused(served, name):
    with pytest.raises(StudioError):
        served.resolve(name)


def test_sources_that_cannot_be_served_are_refused(tiny_and_pirate):
    tiny, pirate = tiny_and_pirate
    for sources in ([], ["nothing"], ["15", tiny.id], [f"base={tiny.id}"], [f"a={tiny.id}", f"a={pirate.id}"]):
        with pytest.raises(StudioError):
            catalogue(sources)
    with pytest.raises(StudioError):
        catalogue([tiny.id], ["sailor"])


def test_a_name_that_is_to_be_listed_and_is_unknown_is_not_called_known(tiny_and_pirate):
    with pytest.raises(ServeError) as raised:
        catalogue([tiny_and_pirate[0].id], ["sailor"])
    assert raised.value.values["names"] == "base, tiny, restyle"


def test_the_line_for_vllm_names_base_rank_and_adapters(tiny_and_pirate, tiny_model):
    tiny, pirate = tiny_and_pirate
    models = catalogue([tiny.id, pirate.id, f"both=mix:{tiny.id}=1,{pirate.id}=1@cat"])

    words = shlex.split(vllm.command(models).line)

    assert words[:3] == ["vllm", "serve", str(tiny_model)]
    options = {name: words[words.index(name) + 1] for name in ("--max-loras", "--max-lora-rank")}
    assert options == {"--max-loras": "2", "--max-lora-rank": "8"}
    assert words[words.index("--lora-modules") + 1 :] == [f"tiny={tiny.adapter}", f"pirate={pirate.adapter}"]
    assert [note.key for note in vllm.command(models).notes] == ["serve.vllm.mix"]


def change_settings(run, **changes):
    path = run.adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "reason"), [({"use_dora": True}, "use_dora"), ({"lora_bias": True}, "lora_bias"), ({"r": 600}, "rank")]
)
def test_what_vllm_refuses_is_left_out_with_the_reason(tiny_and_pirate, changes, reason):
    tiny, pirate = tiny_and_pirate
    if "r" in changes:  # a rank of the settings that no module has counts in vLLM too
        changes = {**changes, "rank_pattern": {"proj": 2}}
    change_settings(pirate, **changes)

    both = vllm.command(catalogue([tiny.id, pirate.id]))
    alone = vllm.command(catalogue([pirate.id]))

    assert shlex.split(both.line)[-1] == f"tiny={tiny.adapter}"
    assert alone.line is None
    for made in (both, alone):
        (note,) = made.notes
        assert (note.key, note.values["reason"].key) == ("serve.vllm.refused", f"serve.vllm.reason.{reason}")
        assert "--to merged" in note.text()


def test_clients_of_vllm_are_told_the_prompt_of_the_training(tiny_and_pirate):
    tiny, _ = tiny_and_pirate
    path = tiny.path / "run.yaml"
    for settings, key in (({"system": "Be brief."}, "system"), ({"template": "Q {a}\nA {b}"}, "text_template")):
        changed = yaml.safe_load(path.read_text(encoding="utf-8"))
        changed["data"]["prompt"] = {"style": "text" if "template" in settings else "auto", **settings}
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        (note,) = vllm.command(catalogue([tiny.id])).notes
        assert note.key == f"serve.vllm.{key}"
        assert settings.get("system", "") in note.text("ko")


def test_vllm_is_given_the_folder_of_the_built_in_model(tiny_and_pirate, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from studio.config import BUILTIN_MODEL, ModelConfig
    from studio.model import load

    first = catalogue([tiny_and_pirate[0].id])
    builtin = first.first.config().model_copy(update={"model": ModelConfig()})
    monkeypatch.setattr(type(first.first), "config", lambda self: builtin)
    monkeypatch.setattr(load, "locate", lambda model: SimpleNamespace(path=tmp_path / model.id))
    assert shlex.split(vllm.command(first).line)[2] == str(tmp_path / BUILTIN_MODEL)
