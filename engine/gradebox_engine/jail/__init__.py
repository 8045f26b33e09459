"""Jails, from the trusted side: root file system, nsjail, system call policies, control groups, processes."""
