"""Figures, side by side with a baseline in the same run. `python -m bench` prints them all."""
