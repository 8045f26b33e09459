"""The consistency filter: which synthesised tests can be trusted, and how well they tell programs apart."""
