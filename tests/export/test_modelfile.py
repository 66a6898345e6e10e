"""Ollama's Modelfile has the run's template."""

import pytest
from tiny import TEMPLATES, make_tokenizer

from studio.config import RunConfig
from studio.export import modelfile
from studio.export.export_context import ExportContext, PromptFormat

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n{% endif %}"
    + TEMPLATES["chatml"]
)
FOLDED = (  # as Gemma's own template does it
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] + '\n\n' %}{% else %}<turn>{{ 'model' if m['role'] == 'assistant' else 'user' }}\n"
    "{{ ns.system }}{% set ns.system = '' %}{{ m['content'] | trim }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
REWRITES = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
FORGETS = "{{ messages[-1]['content'] }}|"


def asked_with(template, prompt=None, **settings) -> ExportContext:
    """Return a context of which only the prompt is known."""
    return ExportContext(
        None, RunConfig(), None, make_tokenizer(template, **settings), prompt or PromptFormat("chat"), (1,)
    )


@pytest.mark.parametrize("name", [*TEMPLATES, "default system", "folded"])
def test_the_pieces_of_a_template_make_every_chat_as_the_template_does(name):
    template = (TEMPLATES | {"default system": DEFAULT_SYSTEM, "folded": FOLDED})[name]
    made = asked_with(template)
    found, in_chats = modelfile.template_parts(made)
    assert in_chats
    turns = ["Hi {{you}}", "Aye.", 'And """this"""?', "No.", "\U0001f642?"]
    messages = [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
    wanted = made.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert found.render(turns) == wanted
    if name not in ("gemma", "mistral"):
        told = [{"role": "system", "content": "Be old."}, *messages]
        wanted = made.tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        assert found.render(turns, "Be old.") == wanted


def test_the_template_in_gos_language_is_written_out():
    found, _ = modelfile.template_parts(asked_with(TEMPLATES["chatml"]))
    assert found.as_go_template() == (
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n<|im_start|>user\n{{ else }}<|im_start|>user\n"
        '{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}{{ .Content }}<|im_end|>\n<|im_start|>assistant\n'
        '{{ else if eq .Role "assistant" }}{{ .Content }}<|im_end|>\n<|im_start|>user\n{{ end }}{{ end }}'
    )


def test_a_text_template_with_braces_is_put_into_gos_language():
    prompt = PromptFormat("text", None, ("q",), '### """{{{{ {0}\n### a:', " ", "<|im_end|>")
    found, in_chats = modelfile.template_parts(asked_with(None, prompt))
    assert in_chats
    assert found.before == '### """{{ '
    assert '{{ "\\"\\"\\"" }}{{ "{{" }} ' in found.as_go_template()
    assert '"""' not in found.as_go_template()


def test_the_beginning_of_text_is_left_to_ollama_where_the_tokenizer_adds_it():
    found, _ = modelfile.template_parts(asked_with(TEMPLATES["llama3"], adds_bos=True))
    assert found.before == "[user]\n\n"
    assert modelfile.template_parts(asked_with(TEMPLATES["llama3"]))[0].before == "<|im_start|>[user]\n\n"


def test_a_template_that_rewrites_is_not_taken_apart_and_one_that_forgets_holds_for_a_question():
    assert modelfile.template_parts(asked_with(REWRITES))[0] is None
    found, in_chats = modelfile.template_parts(asked_with(FORGETS))
    assert not in_chats
    assert found.render(["one"]) == "one|"
    columns = PromptFormat("text", None, ("a", "b"), "{0} {1}:", "", "")
    assert modelfile.template_parts(asked_with(None, columns)) == (None, False)
