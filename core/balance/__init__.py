"""One file per way to order endpoints; the file name is the word in the config."""
