"""The data plane: serves requests from one snapshot."""
