"""The control plane: produces snapshots, records what happened, shows it."""
