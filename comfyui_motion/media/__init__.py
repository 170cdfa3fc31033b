"""What `video.py` and `picture.py` are made of: files, FFmpeg in and out, sound, threads. Nothing
here knows a model.
"""
