"""What tinygraph costs beside hand-written NumPy and other engines: ``python -m benchmarks``."""
