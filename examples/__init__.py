"""Reference systems. Each is a package with a README, real parts, written data and tests."""
