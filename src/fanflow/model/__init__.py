"""Data that travels between the parts: no behaviour beyond what keeps it consistent."""
