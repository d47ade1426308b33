"""Apps: a decorated function whose calls become tasks, and what runs such a call on a worker."""
