"""`gradebox report`: one page about a set of labels, in one file that needs nothing else."""
