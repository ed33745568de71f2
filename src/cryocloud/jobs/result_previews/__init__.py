"""Small files that let a browser show a job's results: the platform runs ``python -m`` this in its sandbox."""
