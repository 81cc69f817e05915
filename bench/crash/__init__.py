"""Kills processes in the middle of effects, and counts afterwards what the world has seen of them."""
