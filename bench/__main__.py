"""Run every benchmark."""

from bench import budget, crossing, gate, line

if __name__ == "__main__":
    line.show()
    crossing.show()
    gate.show()
    budget.show()
