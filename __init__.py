"""The door ComfyUI knocks on. The library is `comfyui_motion/`, the nodes are in `nodes/`."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """What ComfyUI calls: the extension with our nodes."""
    from .nodes import extension

    return extension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
