"""One message in, one finished object out: after the builders the word config does not appear."""
