"""HTTP/1.1 on both legs: the door for callers and the client towards upstreams; httptools parses, we keep the rules."""
