"""Pictures, films, sound and sequences, in and out: streamed, with their times."""
