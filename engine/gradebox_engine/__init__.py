"""The gradebox engine: trusted, outside the jail. Users reach it through the `gradebox` package."""
