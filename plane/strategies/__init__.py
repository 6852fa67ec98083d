"""One file per way to rank the targets of a model; the file name is the word in the config."""
