"""One file per wire dialect that model providers speak; the file name is the word in the config."""
