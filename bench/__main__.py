"""Run every benchmark."""

from bench import crossing, line

if __name__ == "__main__":
    line.show()
    crossing.show()
