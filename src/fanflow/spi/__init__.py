"""The seams: what a part must offer to plug in, and who calls it from which thread."""
