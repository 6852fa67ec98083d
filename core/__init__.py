"""What both processes must agree on, and the hot arithmetic: pure, synchronous, no I/O."""
