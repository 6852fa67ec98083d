"""The gates: what a change may cost, measured so that a busy machine does not matter. `make gate` runs them all."""
