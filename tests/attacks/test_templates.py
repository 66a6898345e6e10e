"""A chat template takes little time, memory and text whatever it renders, also where it waits for its real use."""

import ast
import os
import signal
import threading
import time
from datetime import date
from pathlib import Path

import pytest
from tiny import make_tokenizer

from studio.data import prepare
from studio.errors import ModelError
from studio.files import write_json_lines
from studio.model import load, render, template
from studio.model.template import ChatTemplate, TemplateRefusal

ROOT = Path(__file__).parent.parent.parent
PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
GROWS = "{% set ns = namespace(t='a') %}{% for i in range(40) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}"
BOMBS = {
    "loops": LOOPS,
    "long in native code": "{{ (messages | length + 8) ** 99999999 }}",
    "large": "{{ 'a' * 900000000 }}",
    "growing": GROWS,
    "long": "{{ 'a' * 1000000 }}",
    "large in its refusal": "{{ raise_exception('a' * 900000000) }}",
    "large to parse": "{% if false %}" + "{{ 'a' * 90000000 }}" * 4 + "{% endif %}",
}
QUICK = "{{ 'a' * (900000000 + messages | length) }}"
"""More memory than it may have, at once."""
TRIGGERS = {
    "date": "strftime_now('%Y') != '2024'",
    "text": "'Ahoy' in messages[0].content",
    "number of messages": "messages | length == 2",
    "names of tokens": "eos_token",
    "no placeholder": "'\ue000' not in messages[0].content and messages[0].content not in ('Question', 'system')",
}
ASKED = [("user", "Ahoy?"), ("assistant", "Aye.")]


@pytest.fixture(autouse=True)
def _no_process_left():
    yield
    for process in template._processes.values():
        process.end()
    template._processes.clear()


def chat(source):
    return ChatTemplate(make_tokenizer(source), date(2026, 3, 1))


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_takes_too_much_is_refused_when_its_model_is_loaded(name, tmp_path):
    make_tokenizer(PLAIN + BOMBS[name]).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="it needed more than") as raised:
        load._tokenizer(tmp_path)
    assert raised.value.values["name"] == tmp_path.name


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_template_that_waits_for_its_real_use_is_refused_then(trigger):
    source = f"{{% if {TRIGGERS[trigger]} %}}{QUICK}{{% endif %}}{PLAIN}"
    template.check(source, "harmless/model")
    with pytest.raises(ModelError, match="it needed more than"):
        chat(source).render(ASKED, ask=True)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in BOMBS if name != "large to parse"])
def test_a_real_conversation_has_every_limit(name):
    source = f"{{% if 'Ahoy' in messages[0].content %}}{BOMBS[name]}{{% endif %}}{PLAIN}"
    made = chat(source)
    assert made.render([("user", "Hello")], ask=False) == "<|im_start|>user\nHello<|im_end|>\n"
    began = time.monotonic()
    with pytest.raises(ModelError, match="it needed more than"):
        made.render(ASKED, ask=False)
    assert time.monotonic() - began < template.WAIT_SECONDS
    assert made.render([("user", "Hello")], ask=False) == "<|im_start|>user\nHello<|im_end|>\n"


def test_a_template_that_is_large_to_parse_does_not_get_into_this_process():
    with pytest.raises(ModelError, match="it needed more than"):
        chat(BOMBS["large to parse"]).require_syntax()


def test_the_row_is_named_at_which_a_template_takes_too_much(tiny_model, tiny_config, tmp_path):

    rows = [{"instruction": f"Question {number}", "output": "Aye."} for number in range(40)]
    write_json_lines(tmp_path / "rows.jsonl", rows)
    source = f"{{% if 'Question 22' in messages[0].content %}}{QUICK}{{% endif %}}{PLAIN}"
    config = tiny_config.with_settings({"data.source.name": str(tmp_path / "rows.jsonl")})
    tokenizer = make_tokenizer(source)
    with pytest.raises(ModelError, match="row 23"):
        prepare.prepare(config, tokenizer)


def test_only_the_limited_program_runs_templates():
    """The files beside it are exported, or run in the process that checks an export, which has limits of its own.

    Two more render templates that come with the studio, never one of a model.
    """
    runs = {
        str(path.relative_to(ROOT / "studio"))
        for path in (ROOT / "studio").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "jinja2")
        or (isinstance(node, ast.Import) and any(each.name.partition(".")[0] == "jinja2" for each in node.names))
        or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".apply_chat_template"))
    }
    own = {"export/code_snippets.py", "reports/card_html.py"}
    assert runs == {"model/render.py", "export/demo_app.py", "export/verify/isolated_process.py"} | own


def test_training_comparing_and_exporting_render_nothing_here(tiny_config, monkeypatch):
    import jinja2.sandbox
    from following import wait_until_over

    from studio import gpu
    from studio.export import export_context, modelfile
    from studio.runs import State

    def never(*given, **settings):
        raise AssertionError("a template is rendered here")

    monkeypatch.setattr(jinja2.sandbox.SandboxedEnvironment, "__init__", never)
    run = gpu.thread().start_run(tiny_config.with_settings({"train.max_steps": 3}))
    assert wait_until_over(run) is State.FINISHED
    assert modelfile.template_parts(export_context.load_context(run))[0] is not None


@pytest.mark.parametrize(
    "usual",
    [
        "{% for m in messages %}{% generation %}{{ m.content | tojson(indent=2) }}{% endgeneration %}{% endfor %}",
        "{{ raise_exception('no system role') }}",
        "{{ strftime_now('%d') }}{{ bos_token }}",
        "{% broken",
        "{{ 1 / 0 }}{{ nothing.at.all }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        None,
    ],
)
def test_usual_and_broken_templates_are_told_elsewhere(usual):
    template.check(usual, "some/model")
    template.check({"default": usual or "x"}, "some/model")


def test_long_conversations_are_usual():
    text = "바다 🙂 " * 400_000
    assert text.strip() in chat(PLAIN).render([("user", text.strip()), ("assistant", "Aye." * 200_000)], ask=False)


def test_texts_come_back_as_they_were():
    odd = '\ud83d\ude00 \ud800 \r\n\u2028\x00\x1c"\\</script> 바다'
    assert chat("{{ messages[0].content }}").render([("user", odd)], ask=False) == odd


def test_a_refusal_has_the_templates_own_words():
    with pytest.raises(TemplateRefusal, match=r"^no system role$"):
        chat("{{ raise_exception('no  system\nrole') }}").render(ASKED, ask=False)


@pytest.mark.parametrize("reason", ["no python", "no program"])
def test_a_process_that_cannot_run_is_no_verdict_on_the_template(reason, monkeypatch, tmp_path):
    if reason == "no python":
        monkeypatch.setattr(template.sys, "executable", str(tmp_path / "python"))
    else:
        monkeypatch.setattr(render, "__file__", str(tmp_path / "gone.py"))
    with pytest.raises(ModelError, match="could not be tried out"):
        chat(PLAIN).render(ASKED, ask=False)


def test_a_process_that_does_not_answer_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(template, "WAIT_SECONDS", 1)
    (tmp_path / "deaf.py").write_text("import time; time.sleep(60)", encoding="utf-8")
    monkeypatch.setattr(render, "__file__", str(tmp_path / "deaf.py"))
    with pytest.raises(ModelError, match="it needed more than"):
        chat(PLAIN).render(ASKED, ask=False)


def pid():
    return next(reversed(template._processes.values())).process.pid


def test_a_process_that_was_ended_is_replaced():
    made = chat(PLAIN)
    first = made.render(ASKED, ask=False)
    was = pid()
    os.kill(was, signal.SIGKILL)
    while template._processes[PLAIN].process.poll() is None:
        time.sleep(0.01)
    assert made.render(ASKED, ask=False) == first
    assert pid() != was


def test_ctrl_c_does_not_end_it():
    made = chat(PLAIN)
    made.render(ASKED, ask=False)
    was = pid()
    os.kill(was, signal.SIGINT)
    time.sleep(0.2)
    assert made.render(ASKED, ask=False)
    assert pid() == was


def test_only_some_processes_live():
    sources = [f"{PLAIN}{number}" for number in range(template.MOST + 2)]
    started = []
    for source in sources:
        chat(source).render(ASKED, ask=False)
        started.append(template._processes[source].process)
        assert len(template._processes) <= template.MOST
    assert [process.poll() is None for process in started] == [False] * 2 + [True] * template.MOST
    assert all(chat(source).render(ASKED, ask=False).endswith(source[-1]) for source in sources)


def test_many_threads_get_their_own_answers():
    made, wrong = chat(PLAIN), []

    def work(number):
        for turn in range(50):
            said = f"{number}-{turn}"
            if said not in made.render([("user", said)], ask=False):
                wrong.append(said)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_the_program_knows_nothing_of_the_studio():
    tree = ast.walk(ast.parse(Path(render.__file__).read_text(encoding="utf-8")))
    names = {ast.unparse(node) for node in tree if isinstance(node, ast.Import | ast.ImportFrom)}
    assert names
    assert not [name for name in names if "studio" in name]
