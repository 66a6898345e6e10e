"""The endpoint's engine: its answers are Compare's, token for token, whoever shares the batch."""

import threading
import weakref
from dataclasses import replace

import pytest
from following import wait_until_free, wait_until_over

from studio import gpu
from studio.compare.columns import ADAPTED, BASE, Column, CompareRequest
from studio.data.conversation import Turn
from studio.errors import StudioError
from studio.job import Job
from studio.model.hardware import collect_garbage
from studio.serve.batch import Batch, can_join
from studio.serve.decoder import Progress, _held_back
from studio.serve.engine import Call, Engine, Limits
from studio.serve.models import catalogue

PROMPTS = ("What is 3?", "What is the longest of all the rivers that you have sailed on, and why?", "Hi", "Is it 7?")


@pytest.fixture
def engine(tiny_and_pirate):
    tiny, pirate = tiny_and_pirate
    made = Engine(catalogue([tiny.id, pirate.id]), Limits(), gpu.thread())
    yield made
    made.close()


class Answer:
    """What the engine shows of one call."""

    def __init__(
        self, engine, model, prompt, submit=True, on_token=None, turns=None, is_text=False, stop=(), **settings
    ):
        served = engine.catalogue.resolve(model)
        self.over, self.news, self.error = threading.Event(), [], None
        self.on_token = on_token
        generation = served.run.config().generation.model_copy(update=settings)
        turns = turns or (Turn("user", prompt),)
        self.call = Call(served, turns, generation, stop, self.show, is_text)
        engine.submit(self.call)

    def show(self, news):
        if isinstance(news, StudioError):
            self.error = news
            self.over.set()
            return
        self.news.append(news)
        if self.on_token:
            self.on_token(news)
        if news.end:
            self.over.set()

    def wait(self) -> Progress:
        assert self.over.wait(60)
        if self.error:
            raise self.error
        return self.news[-1]


def compare(run, prompt, column, **settings):
    """Return the tokens and the text that Compare has."""
    generation = run.config().generation.model_copy(update=settings)
    request = CompareRequest(run.id, (prompt,), generation, (column,))
    side = gpu.thread().compare(request, keep=False).result().answers[0][0]
    return side.ids, side.text


def meanings(tiny, pirate):
    return {
        "base": BASE,
        "tiny": ADAPTED,
        "tiny@0.5": replace(ADAPTED, strength=0.5),
        "tiny+pirate": Column(adapter=f"mix:{tiny.id}=0.5,{pirate.id}=0.5@cat"),
        "tiny*0.9+pirate*0.4": Column(adapter=f"mix:{tiny.id}=0.9,{pirate.id}=0.4@cat"),
        "tiny+pirate@0.3": Column(adapter=f"mix:{tiny.id}=0.5,{pirate.id}=0.5@cat", strength=0.3),
    }


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 7}, {"repetition_penalty": 1.3}], ids=str)
def test_answers_are_those_of_compare_alone_and_together(engine, tiny_and_pirate, settings):
    tiny, pirate = tiny_and_pirate
    settings = {"max_new_tokens": 24, **settings}
    columns = meanings(tiny, pirate)
    expected = {
        (name, prompt): compare(tiny, prompt, column, **settings)
        for name, column in columns.items()
        for prompt in PROMPTS[:2]
    }

    for (name, prompt), (ids, text) in expected.items():
        alone = Answer(engine, name, prompt, **settings).wait()
        assert (alone.ids, alone.text) == (ids, text), (name, prompt)
    together = {key: Answer(engine, *key, **settings) for key in expected}
    for key, answer in together.items():
        assert (answer.wait().ids, answer.wait().text) == expected[key], key
    assert len({ids for ids, _ in expected.values()}) > 6


def test_answers_stay_the_same_while_others_join_and_leave(engine, tiny_and_pirate):
    tiny, pirate = tiny_and_pirate
    settings = {"temperature": 0.8, "seed": 3}
    lengths = {0: 40, 1: 9, 2: 25, 3: 30}
    columns = list(meanings(tiny, pirate).items())
    expected, others, together = {}, [], []
    for number, length in lengths.items():
        _, column = columns[number]
        expected[number] = compare(tiny, PROMPTS[number], column, max_new_tokens=length, **settings)

    def join(news):
        together.append(engine.open)
        if news.tokens == 3 and len(others) < 1:
            others.append(Answer(engine, columns[1][0], PROMPTS[1], max_new_tokens=lengths[1], **settings))
            others.append(Answer(engine, columns[2][0], PROMPTS[2], max_new_tokens=lengths[2], **settings))
        if news.tokens == 15 and len(others) == 2:
            others.append(Answer(engine, columns[3][0], PROMPTS[3], max_new_tokens=lengths[3], **settings))

    first = Answer(engine, columns[0][0], PROMPTS[0], on_token=join, max_new_tokens=lengths[0], **settings)

    assert (first.wait().ids, first.wait().text) == expected[0]
    assert len(others) == 3
    for number, answer in enumerate(others, 1):
        assert (answer.wait().ids, answer.wait().text) == expected[number], number
    assert max(together) >= 3


def test_a_chat_is_rendered_as_compare_renders_it(engine, tiny_and_pirate):
    tiny, _ = tiny_and_pirate
    generation = tiny.config().generation.model_copy(update={"temperature": 1.0})
    column = replace(ADAPTED, system="Be brief.", said=("Aye.",))
    request = CompareRequest(tiny.id, ("And 4?",), generation, (column,), earlier=("What is 3?",))
    expected = gpu.thread().compare(request, keep=False).result().answers[0][0]
    turns = (
        *(Turn("system", "Be brief."), Turn("user", "What is 3?"), Turn("assistant", "Aye."), Turn("user", "And 4?")),
    )

    answer = Answer(engine, "tiny", "", turns=turns, temperature=1.0).wait()

    assert answer.ids == expected.ids


def test_stop_strings_end_an_answer_and_are_held_back(engine, tiny_and_pirate):
    whole = Answer(engine, "base", PROMPTS[0], max_new_tokens=30).wait()
    stop = whole.text[8:12]
    at = whole.text.index(stop)

    answer = Answer(engine, "base", PROMPTS[0], max_new_tokens=30, stop=(stop, "never"))

    assert answer.wait().text == whole.text[:at]
    assert answer.wait().end == "stop"
    assert answer.wait().tokens < whole.tokens
    assert all(whole.text[:at].startswith(news.text) for news in answer.news)


def test_what_may_begin_a_stop_string_is_held_back():
    assert _held_back("so it ends</", ["</s>", "\n\n"]) == 2
    assert _held_back("a line\n", ["\n\n"]) == 1
    assert _held_back("nothing", ["</s>"]) == 0
    assert _held_back("", ["</s>"]) == 0


def test_a_cancelled_call_leaves_and_the_others_go_on(engine):
    def leave(news):
        if news.tokens == 4:
            gone.call.cancel()

    expected = Answer(engine, "tiny", PROMPTS[2], max_new_tokens=40).wait()
    gone = Answer(engine, "base", PROMPTS[0], on_token=leave, max_new_tokens=500)
    stays = Answer(engine, "tiny", PROMPTS[2], max_new_tokens=40)

    assert stays.wait().ids == expected.ids
    assert len(gone.news) <= 5
    assert engine.open == 0


def test_errors_of_one_call_are_its_own(engine):
    good = Answer(engine, "tiny", PROMPTS[0])
    long = Answer(engine, "tiny", "x" * 2000)
    strong = Answer(engine, "pirate", PROMPTS[0])

    with pytest.raises(StudioError, match="leaves no room"):
        long.wait()
    assert good.wait().ids
    assert strong.wait().ids


def test_a_comparison_takes_its_turn_between_answers(engine, tiny_and_pirate):
    tiny, _ = tiny_and_pirate
    before = Answer(engine, "tiny", PROMPTS[0], max_new_tokens=100)
    ids, _ = compare(tiny, PROMPTS[1], ADAPTED)
    after = Answer(engine, "tiny", PROMPTS[0], max_new_tokens=100)

    assert ids
    assert before.wait().ids == after.wait().ids


def test_calls_are_refused_while_a_run_is_trained(engine, tiny_and_pirate):
    tiny, _ = tiny_and_pirate
    Answer(engine, "tiny", PROMPTS[0]).wait()
    run = gpu.thread().start_run(tiny.config().with_settings({"train.max_steps": 30}))

    with pytest.raises(StudioError, match="in use"):
        Answer(engine, "tiny", PROMPTS[0]).wait()
    wait_until_over(run)
    assert run.status().state == "finished"

    wait_until_free()
    assert Answer(engine, "tiny", PROMPTS[0]).wait().ids


def test_the_engine_keeps_no_model_that_the_device_is_to_be_free_of(engine):
    Answer(engine, "tiny", PROMPTS[0]).wait()
    bases = []
    gpu.thread().submit(Job(lambda job: bases.append(weakref.ref(job.host.loaded.model)))).done.wait(60)

    gpu.thread().submit(Job(lambda job: None), exclusive=True).done.wait(60)  # the models are released first
    wait_until_free()
    collect_garbage()
    assert [base() for base in bases] == [None]
    assert Answer(engine, "tiny", PROMPTS[0]).wait().ids


def test_no_more_calls_are_open_than_the_limit(tiny_and_pirate):
    tiny, _ = tiny_and_pirate
    engine = Engine(catalogue([tiny.id]), Limits(requests=2, rows=1), gpu.thread())
    first = [Answer(engine, "base", PROMPTS[0], max_new_tokens=60) for _ in range(2)]

    with pytest.raises(StudioError, match="At most 2"):
        Answer(engine, "base", PROMPTS[0])
    assert first[0].wait().ids == first[1].wait().ids
    engine.close()
    with pytest.raises(StudioError, match="closing"):
        Answer(engine, "base", PROMPTS[0])


def sliding():
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))


def mamba():
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4))


SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.mark.parametrize(("make", "joins"), [(sliding, True), (mamba, False)])
def test_a_model_that_cannot_join_rows_answers_them_in_turn(make, joins):
    import torch

    torch.manual_seed(0)
    model = make().eval()

    with torch.no_grad():
        assert can_join(lambda: model, 0) is joins
        if joins:  # beyond its window too
            prompts = [tuple(range(3, 15)), (9, 8, 7)]
            batch, tokens = Batch(lambda: model, 0), []
            logits = batch.join(prompts[:1], ["__base__"])
            logits = torch.cat([batch.step(logits.argmax(-1).tolist()), batch.join(prompts[1:], ["__base__"])])
            for _ in range(8):
                tokens.append(logits.argmax(-1).tolist())
                logits = batch.step(tokens[-1])
            for row, prompt in enumerate(prompts):
                whole = model.generate(
                    torch.tensor([prompt]), max_new_tokens=10, do_sample=False, pad_token_id=0, eos_token_id=None
                )
                skip = len(prompt) + (row == 0)
                assert whole[0, skip : skip + 8].tolist() == [step[row] for step in tokens]


def test_a_request_that_breaks_takes_no_other_with_it(engine, monkeypatch):
    from studio.data import tokens

    real = tokens.prompt_ids

    def broken(rendering, tokenizer):
        if "break" in str(rendering):
            raise TypeError("a text of a kind that nobody thought of")
        return real(rendering, tokenizer)

    monkeypatch.setattr(tokens, "prompt_ids", broken)
    wait_until_free()
    begun = threading.Event()
    other = Answer(engine, "tiny", PROMPTS[1], on_token=lambda news: begun.set(), max_new_tokens=60)
    assert begun.wait(60)
    with pytest.raises(StudioError, match="TypeError"):
        Answer(engine, "tiny", "Please break").wait()
    assert other.wait().end in ("length", "stop")
