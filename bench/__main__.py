"""Run every benchmark."""

from bench import line

if __name__ == "__main__":
    line.show()
