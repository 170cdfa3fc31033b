"""Many jobs: tables of work, workers that outlive a crash, a journal to go on from, a report.

What a job does is the caller's: a function of one Job and of the worker that runs it.
"""
