"""What the templates are: each runs as opened, with the pack's own samples."""

from build import Group, Node, Template

SAMPLE = Node("sample", "CM_SampleMotion", room=250)
MODEL = Node("model", "CM_LoadModel", room=60)
YOUR_OWN = (
    "For your own, put **Load Image** and **Load Video** in place of *Sample Picture and Clip*."
)


def save(of: str = "@animate.video", prefix: str = "motion/animated") -> Node:
    return Node("save", "SaveVideo", {"video": of, "filename_prefix": prefix}, room=260, width=340)


def animate(name: str = "animate", **inputs: object) -> Node:
    given = {
        "model": "@model.model",
        "source_image": "@sample.picture",
        "driving_images": "@sample.clip",
    }
    return Node(name, "CM_Animate", given | inputs, room=240)


TEMPLATES = [
    Template(
        "01 A picture moves as a clip moves",
        f"Press **Run**. The picture takes over what the man in the clip does. {YOUR_OWN}\n"
        "The result plays on *Animate Picture*, and is saved with the clip's sound in `output/motion`.",
        [
            Group("1 · Picture and clip", [SAMPLE]),
            Group("2 · Motion", [MODEL, animate()]),
            Group("3 · The film", [save()]),
        ],
    ),
]
