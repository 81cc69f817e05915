"""Each test of a tool finds nothing paid and the world as it is declared."""

from support.payments import fresh

__all__ = ["fresh"]
