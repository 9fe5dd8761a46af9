"""A tool for GradBench, the public benchmark: ``python -m benchmarks.gradbench``."""
