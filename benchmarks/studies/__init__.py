"""What benchmarks.findings needs: the runs of the studies, what they say together, and the page."""
