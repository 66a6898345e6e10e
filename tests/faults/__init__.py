"""Faults, and the tests of what each must meet: with real processes, signals and full disks.

kill -9 at any moment, in a save too    test_kills.py; the long version: python -m tests.faults --kills 200
kill -9 while a sweep goes on            test_sweep_kills.py; the long version is part of the same command
n-th write, fsync or rename fails       test_disk.py (more of them: -m slow)
disk full                               test_disk.py: a small disk of its own, and a limit on the size of files
read-only or missing home               test_home.py
out of memory                           test_memory_and_numbers.py
loss or gradient that is no number      test_memory_and_numbers.py
browser closed                          tests/ui/test_journey.py
app restarted                           test_signals.py
two starts at once                      test_two_starts.py: threads, and processes
stop or pause in each phase             test_stop_and_pause.py
SIGTERM, SIGINT                         test_signals.py
changed data, config or base            tests/train/test_resume.py
torn last line of events.jsonl          test_torn_line.py
no network                              test_no_network.py
gated model, bad token, unknown id      tests/model/test_model_hub.py; for data sets: tests/data/test_hub.py
Korean and decomposed paths             test_korean_paths.py
"""
