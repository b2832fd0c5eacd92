"""The benchmark: our training engine and its peers side by side, on the machine that it runs on."""
