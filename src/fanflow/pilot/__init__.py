"""The pilot-job engine: an interchange, one manager per node, and its workers."""
