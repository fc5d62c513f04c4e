"""The command line: words in, words out. One file a command."""
