"""What is known of a model, here and on the Hub, and that nothing of it needs the heavy libraries."""

import json
import shutil
import subprocess
import sys

import pytest

from studio.config import ModelConfig
from studio.model import architecture as architecture_of
from studio.model import builtin, catalogue, hub_models, load

PARAMETERS = 35168
CARD = "---\nlicense: {}\n---\n# A model\n"


def weights_size(folder):
    return (folder / "model.safetensors").stat().st_size


def test_a_folder_is_described_by_its_files(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "README.md").write_text(CARD.format("cc-by-4.0"), encoding="utf-8")
    facts = catalogue.describe(ModelConfig(id=str(folder)))

    assert (facts.where, facts.here, facts.problem) == ("folder", True, None)
    assert facts.parameters == PARAMETERS
    assert facts.licence == "cc-by-4.0"
    assert facts.chat_template is True
    assert facts.architecture == "LlamaForCausalLM"
    assert facts.bytes == sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("card", ["no front matter", "---\nlicense: [\n---\n", "---\n- a list\n---\n"])
def test_a_card_that_cannot_be_read_gives_no_licence(tiny_model, tmp_path, card):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "README.md").write_text(card, encoding="utf-8")
    facts = catalogue.describe(ModelConfig(id=str(folder)))

    assert facts.licence is None
    assert facts.problem is None


def test_a_model_on_the_hub_is_described_before_it_is_fetched(hub_stand_in, tiny_model):
    hub_stand_in.repositories["someone/tiny"].card = {"license": "other", "license_name": "tiny-community"}
    facts = catalogue.describe(ModelConfig(id="someone/tiny"))

    assert (facts.where, facts.here, facts.problem) == ("hub", False, None)
    assert facts.bytes == facts.needs == sum(file.stat().st_size for file in tiny_model.iterdir())
    assert facts.parameters == PARAMETERS
    assert facts.licence == "tiny-community"
    assert facts.chat_template is True
    assert facts.free > 0
    assert hub_stand_in.fetched() == []


def test_a_fetched_model_is_described_and_listed_without_the_hub(hub_stand_in):
    hub_models.fetch("someone/tiny", None)
    asked = len(hub_stand_in.requests)
    facts = catalogue.describe(ModelConfig(id="someone/tiny"))
    built_in, cached = catalogue.cached()

    assert (facts.where, facts.here, facts.parameters) == ("cache", True, PARAMETERS)
    assert (built_in.id, built_in.here) == ("builtin", builtin.is_here())
    assert (cached.id, cached.path, cached.loadable) == ("someone/tiny", facts.path, True)
    assert cached.bytes == facts.bytes
    assert len(hub_stand_in.requests) == asked


def test_a_gated_model_says_whether_it_may_be_read(hub_stand_in):
    repository = hub_stand_in.repositories["someone/tiny"]
    repository.gated, repository.readers = True, {"hf_reader"}
    hub_stand_in.tokens.add("hf_reader")
    closed = catalogue.describe(ModelConfig(id="someone/tiny"))
    opened = catalogue.describe(ModelConfig(id="someone/tiny"), "hf_reader")

    assert (closed.gated, closed.where, closed.problem.key) == (True, "hub", "errors.model.gated")
    assert closed.bytes > 0
    assert (opened.gated, opened.problem) == (True, None)


def test_what_cannot_be_reached_is_described_as_such(hub_stand_in, monkeypatch):
    unknown = catalogue.describe(ModelConfig(id="someone/nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = catalogue.describe(ModelConfig(id="someone/tiny"))
    nonsense = catalogue.describe(ModelConfig(id="x y"))

    assert [(f.where, f.problem.key) for f in (unknown, offline, nonsense)] == [
        ("nowhere", "errors.model.unknown"),
        ("nowhere", "errors.model.offline"),
        ("nowhere", "errors.model.bad_id"),
    ]


def test_a_full_disk_is_told_with_the_facts(hub_stand_in, monkeypatch):
    monkeypatch.setattr(hub_models, "free_disk", lambda folder: 10**6)
    facts = catalogue.describe(ModelConfig(id="someone/tiny"))

    assert facts.problem.key == "errors.model.disk"
    assert facts.free == 10**6


def test_the_built_in_model_is_known_before_it_is_here():
    facts = catalogue.describe(ModelConfig())

    assert (facts.where, facts.here, facts.licence) == ("builtin", False, "apache-2.0")
    assert facts.bytes == builtin.DOWNLOAD_BYTES
    assert facts.needs > facts.bytes


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "errors.model.other_quantization"),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "errors.model.architecture"),
        ({"architectures": ["NobodysForCausalLM"], "model_type": "nobodys"}, "errors.model.architecture"),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "../llama"}, "errors.model.architecture"),
        ({"auto_map": {"AutoModel": "evil.Evil"}, "model_type": "evil"}, "errors.model.remote_code"),
        ({"architectures": ["BartForConditionalGeneration"], "model_type": "bart"}, "errors.model.architecture"),
        ({"architectures": ["BertLMHeadModel"], "model_type": "bert"}, "errors.model.not_causal"),
        ({"architectures": ["CpmAntForCausalLM"], "model_type": "cpmant"}, "errors.model.not_causal"),
        ({"architectures": ["XLNetLMHeadModel"], "model_type": "xlnet"}, "errors.model.not_causal"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "errors.model.architecture"),
    ],
)
@pytest.mark.parametrize("on_hub", [True, False])
def test_what_cannot_be_trained_is_told_before_it_is_loaded(
    hub_stand_in, tiny_model, tmp_path, settings, problem, on_hub
):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    hub_stand_in.add("someone/odd", folder)
    facts = catalogue.describe(ModelConfig(id="someone/odd" if on_hub else str(folder)))

    assert facts.problem.key == problem


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("LlamaForCausalLM", "llama"),
        ("Qwen2ForCausalLM", "qwen2"),
        ("Gemma3ForCausalLM", "gemma3_text"),
        ("Gemma3ForConditionalGeneration", "gemma3"),
        ("GPT2LMHeadModel", "gpt2"),
        ("GPTNeoXForCausalLM", "gpt_neox"),
    ],
)
def test_architectures_of_transformers_are_known_from_its_files(architecture, kind):
    assert architecture_of.is_loadable({"architectures": [architecture], "model_type": kind})


def test_describing_imports_no_heavy_library(tiny_model):
    program = (
        "import sys; from studio.config import ModelConfig; from studio.model import catalogue;"
        "catalogue.cached(); facts = catalogue.describe(ModelConfig(id=sys.argv[1])); assert facts.architecture;"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_model)], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "[]", done.stderr


def test_the_facts_of_a_folder(tiny_model):
    told = vars(catalogue.describe(ModelConfig(id=str(tiny_model))))

    assert told["path"] == load.locate(ModelConfig(id=str(tiny_model))).path
    assert told["parameters"] == PARAMETERS
    assert told["problem"] is None
