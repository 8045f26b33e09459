"""Problems with tests, made by a model out of seed code, read strictly and cleaned."""
