"""A language of tiny problems, on which the whole loop is shown to learn on a CPU."""
