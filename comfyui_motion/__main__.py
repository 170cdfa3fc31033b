"""python -m comfyui_motion: the command line, for who has no scripts folder on the path."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
