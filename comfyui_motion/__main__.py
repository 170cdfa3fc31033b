"""python -m comfyui_motion: the command line, for who has no scripts folder on the path."""

from .cli import program

if __name__ == "__main__":
    program()
