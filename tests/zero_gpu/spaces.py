"""A stand-in for the package `spaces` on ZeroGPU, for programs that are started with this folder on their path.

`GPU` does what the package (0.51) does there, as far as its sources say: each call forks a process of its own from the
one that calls; arguments and results go through pickle; of an error, only a `gr.Error` comes back whole, and the name
of any other; a call that takes longer than its `duration` is killed with all it had. Here each call gets a new process,
where the package may use one again. There is no card: what runs in the process finds the processor.
"""

import functools
import inspect
import multiprocessing
import os
import pickle
import signal
import threading

import gradio as gr

_fork = multiprocessing.get_context("fork")
_forked = False


def GPU(task=None, *, duration=60, size=None):
    """Let a function, or a generator function, run in a forked process for at most `duration` seconds."""
    if task is None:
        return functools.partial(GPU, duration=duration, size=size)

    def results(args, kwargs):
        """Yield what the task yields or returns, from a forked process."""
        seconds = duration(*args, **kwargs) if callable(duration) else duration
        reader, writer = _fork.Pipe(duplex=False)
        packed = pickle.dumps((args, kwargs))
        process = _fork.Process(target=_work, args=(task, packed, writer, reader), daemon=True)
        process.start()
        writer.close()
        timer = threading.Timer(seconds, os.kill, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            while True:
                try:
                    kind, value = pickle.loads(reader.recv_bytes())
                except EOFError:
                    raise gr.Error("GPU task aborted", title="ZeroGPU worker error") from None
                if kind == "end":
                    return
                if kind == "error":
                    raise value if isinstance(value, gr.Error) else gr.Error(value, title="ZeroGPU worker error")
                yield value
        finally:
            timer.cancel()
            process.kill()
            process.join()

    @functools.wraps(task)
    def generating(*args, **kwargs):
        yield from task(*args, **kwargs) if _forked else results(args, kwargs)

    @functools.wraps(task)
    def calling(*args, **kwargs):
        if _forked:
            return task(*args, **kwargs)
        (value,) = results(args, kwargs)
        return value

    return generating if inspect.isgeneratorfunction(task) else calling


def _work(task, packed, writer, reader):
    global _forked
    _forked = True
    reader.close()
    args, kwargs = pickle.loads(packed)

    def send(kind, value=None):
        writer.send_bytes(pickle.dumps((kind, value)))

    def run():
        try:
            for value in task(*args, **kwargs) if inspect.isgeneratorfunction(task) else [task(*args, **kwargs)]:
                send("value", value)
            send("end")
        except Exception as error:
            send("error", error if isinstance(error, gr.Error) else type(error).__name__)

    thread = threading.Thread(target=run)  # as there: the task is not on the process's main thread
    thread.start()
    thread.join()
    os._exit(0)
