"""The sample timeline: what is asked, when, that it is honest, and that the run does not notice."""

import hashlib
import json

import pytest
from following import losses, trained, wait_for, wait_until_over

from studio import gpu
from studio.compare.columns import CompareRequest
from studio.data import prepare
from studio.model.load import load_tokenizer
from studio.runs import State
from studio.train import samples

SETTINGS = {
    "train.max_steps": 12,
    "lora.dropout": 0.2,  # draws random numbers, so a frame that drew some would show
    "train.neftune_alpha": 5.0,
    "train.gradient_checkpointing": "on",
    "samples.prompts": ("What is 3?", "안녕하세요?"),
    "samples.every": 5,
    "generation.temperature": 1.0,
}


def adapter_hash(run) -> str:
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def notes(run) -> list[str]:
    return [event.message.key for event in run.events()[0] if event.type == "note"]


def texts(run) -> dict[int, tuple[str, ...]]:
    return {frame.step: tuple(answer.text for answer in frame.answers) for frame in samples.read(run).frames}


def test_losses_and_weights_are_bit_equal_with_and_without_the_strip(tiny_config):
    without = trained(tiny_config, **{**SETTINGS, "samples.mode": "off"})
    with_it = trained(tiny_config, **{**SETTINGS, "samples.every": 1})
    assert len(samples.read(with_it).frames) == 13
    assert not samples.read(without).frames
    assert len(set(texts(with_it).values())) > 5  # the adapter changed under it
    assert losses(with_it) == losses(without)
    assert len(losses(without)) == 12
    assert adapter_hash(with_it) == adapter_hash(without)


def test_prompts_are_answered_by_the_base_every_few_steps_and_at_the_end(tiny_config):
    strip = samples.read(trained(tiny_config, **SETTINGS))
    assert strip.prompts == ("What is 3?", "안녕하세요?")
    assert [frame.step for frame in strip.frames] == [0, 5, 10, 12]


def test_the_first_step_waits_for_no_answer_and_a_pause_before_the_bases_loses_none(tiny_config, monkeypatch):
    whole = trained(tiny_config, **SETTINGS)
    first, second = [event for event in whole.events()[0] if event.type == "step"][:2]
    base, *_ = samples.read(whole).frames
    assert (base.step, first.step) == (0, 1)
    assert first.at < base.at < second.at

    def pause(host, *args):
        gpu.thread()._training.request("pause")
        return measure(host, *args)

    measure = samples.measure
    monkeypatch.setattr(samples, "measure", pause)
    run = gpu.thread().start_run(tiny_config.with_settings(SETTINGS))
    assert wait_until_over(run) is State.PAUSED
    assert (run.status().step, texts(run)) == (1, {})
    monkeypatch.setattr(samples, "measure", measure)
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert texts(run) == texts(whole)
    assert losses(run) == losses(whole)
    assert adapter_hash(run) == adapter_hash(whole)


def test_the_first_frame_is_the_base_and_the_last_one_the_result(tiny_config):
    run = trained(tiny_config, **SETTINGS, **{"lora.init": "orthogonal"})
    found = texts(run)
    made = gpu.thread().compare(CompareRequest(run.id, SETTINGS["samples.prompts"], run.config().generation)).result()
    base, adapter = zip(*(made.texts(number) for number in range(2)), strict=True)
    assert (found[0], found[12]) == (base, adapter)
    assert base != adapter


def test_a_resumed_run_answers_each_step_once_and_drops_what_came_later(tiny_config):
    run = gpu.thread().start_run(
        tiny_config.with_settings(
            {**SETTINGS, "train.max_steps": 5000, "train.save": "steps", "train.save_steps": 4, "samples.every": 2}
        )
    )
    wait_for(run, lambda status: status.step >= 7)
    run.request("cancel")
    assert wait_until_over(run) is State.STOPPED
    kept = max(int(path.name.split("-")[1]) for path in (run.path / "checkpoints").iterdir())
    before = {step: said for step, said in texts(run).items() if step <= kept}
    gpu.thread().resume_run(run.id)
    wait_for(run, lambda status: status.step >= kept + 3)
    run.request("cancel")
    wait_until_over(run)
    lines = [json.loads(line) for line in (run.path / samples.FILE).read_text().splitlines()]
    assert [line["step"] for line in lines if line["type"] == "resumed"] == [kept]
    early = [line["step"] for line in lines if line["type"] == "frame" and line["step"] <= kept]
    assert early == sorted(set(early))
    steps = [frame.step for frame in samples.read(run).frames]
    assert steps == list(range(0, steps[-1] + 1, 2))
    assert before.items() <= texts(run).items()


def test_a_pause_in_the_middle_of_a_frame_is_answered_at_once_and_the_frame_comes_at_the_resume(
    tiny_config, monkeypatch
):
    from studio.generation import generate

    config = tiny_config.with_settings(SETTINGS)
    whole = trained(config, **SETTINGS)
    real, seen = generate._Stream.put, []

    def pause_in_the_frame_of_step_5(self, value):
        run = gpu.thread()._training
        if run.status().step == 5 and self._started is not None:  # the prompts come first
            seen.extend(value.reshape(-1).tolist())
            if len(seen) >= 3:
                run.request("pause")
        real(self, value)

    monkeypatch.setattr(generate._Stream, "put", pause_in_the_frame_of_step_5)
    run = gpu.thread().start_run(config)
    assert wait_until_over(run) is State.PAUSED
    assert len(seen) == 4  # two prompts, two tokens: the second forward pass was the last
    assert list(texts(run)) == [0]
    monkeypatch.setattr(generate._Stream, "put", real)
    gpu.thread().resume_run(run.id)
    assert wait_until_over(run) is State.FINISHED
    assert texts(run) == texts(whole)
    assert losses(run) == losses(whole)
    assert adapter_hash(run) == adapter_hash(whole)


def test_a_frame_that_fails_is_told_and_the_run_goes_on(tiny_config, monkeypatch):
    from studio.generation import generate

    real, counted = generate._FirstLogits.__call__, []

    def fail(self, *args):
        counted.append(args)
        if len(counted) > 40:
            raise RuntimeError("no luck")
        return real(self, *args)

    quiet = trained(tiny_config, **{**SETTINGS, "samples.mode": "off"})
    monkeypatch.setattr(generate._FirstLogits, "__call__", fail)
    run = trained(tiny_config, **SETTINGS, **{"samples.max_new_tokens": 20})
    assert "log.sample_failed" in notes(run)
    assert 0 < len(samples.read(run).frames) < 4
    assert losses(run) == losses(quiet)
    assert adapter_hash(run) == adapter_hash(quiet)


def test_a_prompt_that_the_template_cannot_take_leaves_a_note_and_no_strip(tiny_config):
    template = {"data.prompt.style": "text", "data.prompt.template": "{instruction} {more}: {output}"}
    rows = tiny_config.data.source.name
    with open(rows, encoding="utf-8") as file:
        changed = [json.dumps({**json.loads(line), "more": "x"}) for line in file]
    with open(rows, "w", encoding="utf-8") as file:
        file.write("\n".join(changed))
    mapping = {"prompt": ("instruction", "more"), "completion": "output"}
    run = trained(tiny_config, **SETTINGS, **template, **{"data.mapping": mapping})
    assert "log.no_samples" in notes(run)
    assert samples.read(run) == samples.SampleTimeline()


def test_prompts_come_from_the_validation_rows_and_never_from_the_training_rows(tiny_config):
    rows = tiny_config.data.source.name
    with open(rows, "a", encoding="utf-8") as file:  # every row twice, so that some are on both sides
        file.write("".join(json.dumps({"instruction": f"What is {n}?", "output": "No."}) + "\n" for n in range(12)))
    run = trained(tiny_config, **{"data.validation": {"kind": "fraction", "fraction": 0.5}, "train.max_steps": 1})
    strip = samples.read(run)
    assert 0 < len(strip.prompts) <= 4
    config = run.config()
    prepared = prepare.prepare(config, load_tokenizer(config.model))
    trained_on = load_tokenizer(config.model).batch_decode(list(prepared.train["input_ids"]))
    assert not [prompt for prompt in strip.prompts if any(f"\n{prompt}<" in text for text in trained_on)]
    reasons = [event.reason.key for event in run.events()[0] if event.type == "chosen"]
    assert "choice.samples.validation" in reasons


def test_without_anything_held_out_ordinary_questions_are_asked(tiny_config):
    run = trained(tiny_config)
    assert len(samples.read(run).prompts) == 4
    assert "choice.samples.general" in [e.reason.key for e in run.events()[0] if e.type == "chosen"]


def test_a_torn_line_waits_and_is_not_swallowed(tiny_config):
    run = trained(tiny_config, **SETTINGS)
    path = run.path / samples.FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    strip = samples.read(run)
    assert [frame.step for frame in strip.frames] == [0, 5, 10]
    assert samples.read(run, strip) is strip
    path.write_bytes(whole + b'{"type": "of a later version"}\n')
    assert [frame.step for frame in samples.read(run, strip).frames] == [0, 5, 10, 12]


@pytest.mark.parametrize("prompts", [("",), ("a", "  ")])
def test_an_empty_prompt_is_refused(tiny_config, prompts):
    from studio.errors import ConfigError

    with pytest.raises(ConfigError, match="empty prompt"):
        tiny_config.with_settings({"samples.prompts": prompts})
