"""A trial of the gate over an office's tasks, honest and attacked. `python -m bench.trial` prints its figures."""
