"""The founding incident, played twice: with rules in a prompt, and under the gate."""
