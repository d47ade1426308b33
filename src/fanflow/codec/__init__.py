"""Objects to bytes and back: calls, results and exceptions on their way between processes."""
