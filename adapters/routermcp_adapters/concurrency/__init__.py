"""Locks, threads and background work that behave the same on all three runtimes."""
