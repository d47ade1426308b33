"""The kernel thread and what hangs on it: futures, the loop, the performing of effects."""
