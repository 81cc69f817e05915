"""Run every benchmark."""

from bench import budget, crossing, fanout, gate, line, nested, support_job

if __name__ == "__main__":
    line.show()
    crossing.show()
    gate.show()
    budget.show()
    fanout.show()
    support_job.show()
    nested.show()
