"""What the templates are: each runs as opened, with the pack's own samples."""

from __future__ import annotations

import json

from build import Group, Node, Template

FACES, ANYTHING = "faces (comes with the pack)", "any subject (comes with the pack)"
YOURS = "For your own, put **Load Image** and **Load Video** in place of the sample node."


def sample(room: int = 150) -> Node:
    return Node("sample", "CM_SampleMotion", room=room)


def model(name: str = FACES, at: str = "model") -> Node:
    return Node(at, "CM_LoadModel", {"model_name": name}, room=50)


def animate(name: str = "animate", room: int = 280, **inputs: object) -> Node:
    given = {
        "model": "@model.model",
        "source_image": "@sample.picture",
        "driving_images": "@sample.clip",
        "reference_frame": -1,
    }
    return Node(name, "CM_Animate", given | inputs, room=room)


def save(of: str = "@animate.video", name: str = "motion/animated") -> Node:
    return Node("save", "SaveVideo", {"video": of, "filename_prefix": name}, room=330, width=320)


def film(of: str, name: str = "motion/film", fps: float = 25.0) -> list[Node]:
    """Images without a rate of their own, as a video."""
    return [
        Node("video", "CreateVideo", {"images": of, "fps": fps}),
        Node(
            "save",
            "SaveVideo",
            {"video": "@video.VIDEO", "filename_prefix": name},
            room=290,
        ),
    ]


def small(of: str) -> dict[str, object]:
    """ImageScale's inputs, for a picture of 512 pixels."""
    return {"image": of, "upscale_method": "area", "width": 512, "height": 512, "crop": "disabled"}


def picture_of(side: int) -> Group:
    """The sample, its picture as large as a diffusion model works."""
    scaled = small("@sample.picture") | {"width": side, "height": side}
    return Group("1 Picture and clip", [sample(), Node("small", "ImageScale", scaled)])


def checkpoint(title: str, text: str, unwanted: str) -> Group:
    """Stable Diffusion, told what to paint."""
    file = {
        "name": "v1-5-pruned-emaonly-fp16.safetensors",
        "url": "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
        "v1-5-pruned-emaonly-fp16.safetensors?download=true",
        "directory": "checkpoints",
    }
    given = {"ckpt_name": file["name"]}
    return Group(
        title,
        [
            Node("checkpoint", "CheckpointLoaderSimple", given, files=[file]),
            *(
                Node(name, "CLIPTextEncode", {"text": words, "clip": "@checkpoint.CLIP"}, room=60)
                for name, words in (("positive", text), ("negative", unwanted))
            ),
        ],
    )


def sampler(title: str, of: str, latent: str, denoise: float) -> Group:
    """From the node noise to pictures."""
    return Group(
        title,
        [
            Node(
                "guider",
                "CFGGuider",
                {
                    "model": of,
                    "positive": "@positive.CONDITIONING",
                    "negative": "@negative.CONDITIONING",
                    "cfg": 6.0,
                },
            ),
            Node("method", "KSamplerSelect", {"sampler_name": "euler"}),
            Node(
                "steps",
                "BasicScheduler",
                {"model": of, "scheduler": "normal", "steps": 20, "denoise": denoise},
            ),
            Node(
                "sampled",
                "SamplerCustomAdvanced",
                {
                    "noise": "@noise.noise",
                    "guider": "@guider.GUIDER",
                    "sampler": "@method.SAMPLER",
                    "sigmas": "@steps.SIGMAS",
                    "latent_image": latent,
                },
            ),
            Node("decoded", "VAEDecode", {"samples": "@sampled.output", "vae": "@checkpoint.VAE"}),
        ],
    )


WAN = {
    "diffusion_models": "Wan2_1-I2V-ATI-14B_fp8_e4m3fn.safetensors",
    "text_encoders": "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vae": "wan_2.1_vae.safetensors",
    "clip_vision": "clip_vision_h.safetensors",
}


def wan(directory: str) -> dict[str, str]:
    """One of Wan's files, and where it is published."""
    home = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/"
    home += directory
    if directory == "diffusion_models":
        home = "https://huggingface.co/Kijai/WanVideo_comfy/resolve/main"
    name = WAN[directory]
    return {"name": name, "url": f"{home}/{name}", "directory": directory}


def poses(keys: dict[int, dict[str, float]]) -> str:
    document = {
        "format": "comfyui_motion.poses",
        "version": 1,
        "keys": {str(frame): dials for frame, dials in keys.items()},
        "saved": {},
    }
    return json.dumps(document)


NODDING = poses(
    {
        0: {},
        12: {"smile": 0.9, "brows": 0.3},
        26: {"smile": 0.5, "yaw": 10, "gaze_x": 0.5},
        34: {"smile": 0.7, "yaw": 8, "wink_left": 1},
        42: {"smile": 0.6, "yaw": -8, "gaze_x": -0.4, "mouth_open": 0.2},
        58: {},
    }
)
SMILE = poses({0: {"smile": 0.9, "brows": 0.2}})

TEMPLATES = [
    Template(
        "01 A picture moves as a clip moves",
        "Press Run. "
        "The woman takes over what the man in the clip does. The result plays on *Animate Picture*"
        " (try **Before | after**) and is saved, with the clip's sound, in `output/motion`.\n\n"
        f"{YOURS}\n\n**strength**, **head**, **eyes** and **mouth** say how far it goes: turning"
        " one takes a moment, for the clip is not looked at again.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Motion", [animate()]),
            Group("3 Film", [save()]),
        ],
    ),
    Template(
        "02 A face posed by hand, without a clip",
        "Press Run, then drag. "
        "The picture on *Pose Face* follows the dials at once. This one has poses at several"
        " frames, which ease into one another: choose a frame, set the dials, and it is a key.\n\n"
        "Run again for the frames. For one still, keep a single pose, and put **Save Image** in"
        " place of *Create Video*.",
        [
            Group("1 Picture", [sample(), model()]),
            Group(
                "2 Expression",
                [
                    Node(
                        "pose",
                        "CM_PoseFace",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "poses": NODDING,
                        },
                        room=430,
                        width=640,
                    )
                ],
            ),
            Group("3 Film", film("@pose.images", "motion/posed")),
        ],
    ),
    Template(
        "03 As in the clip, but smiling",
        "A pose on top of a performance. "
        "*Animate Picture* gives the performance as **keypoints**; *Pose Face* adds a smile to"
        " every"
        " frame of them.\n\nDrag other dials, or set keys so that the smile comes and goes.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Performance", [animate(frame_count=40)]),
            Group(
                "3 Smile",
                [
                    Node(
                        "pose",
                        "CM_PoseFace",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "keypoints": "@animate.keypoints",
                            "poses": SMILE,
                        },
                        room=430,
                        width=640,
                    )
                ],
            ),
            Group("4 Film", film("@pose.images", "motion/smiling")),
        ],
    ),
    Template(
        "04 A video as the source",
        "What moves may itself be a film. "
        "Each frame of the source keeps its own motion, and moves by what the driving clip adds:"
        " here the clip plays both parts, at half the strength, so that he overdoes it.\n\n"
        "The result is as long as the shorter of the two.",
        [
            Group("1 Clip", [sample(), model()]),
            Group(
                "2 Motion",
                [
                    animate(
                        source_image="@sample.clip", frame_count=24, start_frame=8, strength=0.5
                    ),
                ],
            ),
            Group("3 Film", [save(name="motion/overdone")]),
        ],
    ),
    Template(
        "05 One of several faces",
        "Which face moves. "
        "Two portraits side by side: **face** on *Animate Picture* says which one, 1, 2, ... from"
        " the"
        " left; 0 is the largest. The rest of the picture stays as it is.\n\n"
        "Chain a second *Animate Picture* behind the first to move another face by another clip.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group(
                "2 Two faces",
                [
                    Node("small", "ImageScale", small("@sample.picture")),
                    Node(
                        "pair",
                        "ImageStitch",
                        {
                            "image1": "@small.IMAGE",
                            "image2": "@small.IMAGE",
                            "direction": "right",
                            "match_image_size": True,
                        },
                    ),
                    Node("seen", "PreviewImage", {"images": "@pair.IMAGE"}, room=150),
                ],
            ),
            Group("3 Motion", [animate(source_image="@pair.IMAGE", face=2, frame_count=32)]),
            Group("4 Film", [save(name="motion/second_face")]),
        ],
    ),
    Template(
        "06 Every step open",
        "What is inside Animate Picture. "
        "The source is encoded once; the clip's **keypoints** are found, carried over to the"
        " source,"
        " calmed, and made a **motion field**; the field makes the frames. Every wire can be looked"
        " at, edited, saved or sent elsewhere.",
        [
            Group("1 Picture and clip", [sample(100), model()]),
            Group(
                "2 Keypoints",
                [
                    Node(
                        "encode",
                        "CM_EncodeSource",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "driving_images": "@part.IMAGE",
                        },
                    ),
                    Node(
                        "extract",
                        "CM_ExtractKeypoints",
                        {
                            "model": "@model.model",
                            "images": "@part.IMAGE",
                            "portrait": "@encode.portrait",
                        },
                    ),
                    Node("clip", "GetVideoComponents", {"video": "@sample.clip"}),
                    Node(
                        "part",
                        "ImageFromBatch",
                        {"image": "@clip.images", "batch_index": 0, "length": 32},
                    ),
                ],
            ),
            Group(
                "3 Carried over",
                [
                    Node(
                        "retarget",
                        "CM_RetargetKeypoints",
                        {
                            "driving_keypoints": "@extract.keypoints",
                            "source_keypoints": "@encode.source_keypoints",
                            "reference_frame": "@encode.reference_frame",
                        },
                    ),
                    Node("smooth", "CM_SmoothKeypoints", {"keypoints": "@retarget.keypoints"}),
                    Node(
                        "points",
                        "CM_PreviewKeypoints",
                        {"keypoints": "@smooth.keypoints", "images": "@sample.picture"},
                        room=230,
                    ),
                ],
            ),
            Group(
                "4 Field",
                [
                    Node(
                        "motion",
                        "CM_EstimateMotion",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "driving_keypoints": "@smooth.keypoints",
                            "portrait": "@encode.portrait",
                        },
                    ),
                    Node(
                        "field",
                        "CM_PreviewField",
                        {"field": "@motion.field", "images": "@sample.picture"},
                        room=230,
                    ),
                ],
            ),
            Group(
                "5 Frames",
                [
                    Node(
                        "generate",
                        "CM_Generate",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "field": "@motion.field",
                            "portrait": "@encode.portrait",
                        },
                        room=205,
                    ),
                    *film("@generate.images", "motion/steps"),
                ],
            ),
        ],
    ),
    Template(
        "07 A calmer performance",
        "Smoothing. "
        "*Smooth Keypoints* takes the tremble out of a hand-held or noisy clip: **sigma** is how"
        " many frames are averaged. More is calmer, and lazier.\n\n"
        "*Save Keypoints* keeps the performance in a file for *Load Keypoints* in another"
        " workflow.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Performance", [animate(frame_count=32, room=200)]),
            Group(
                "3 Calmer",
                [
                    Node(
                        "smooth",
                        "CM_SmoothKeypoints",
                        {"keypoints": "@animate.keypoints", "sigma": 2.0},
                    ),
                    Node("keep", "CM_SaveKeypoints", {"keypoints": "@smooth.keypoints"}, room=40),
                    Node(
                        "motion",
                        "CM_EstimateMotion",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "driving_keypoints": "@smooth.keypoints",
                        },
                    ),
                    Node(
                        "generate",
                        "CM_Generate",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "field": "@motion.field",
                        },
                        room=220,
                    ),
                ],
            ),
            Group("4 Film", film("@generate.images", "motion/calm")),
        ],
    ),
    Template(
        "08 Points corrected by hand",
        "Run, drag, run again. "
        "*Edit Keypoints* shows the points over the frames. Drag one and it is a key in that frame;"
        " **Pin** holds one still, **reach** takes its neighbours along.\n\n"
        "The wheel of the page still zooms; click the picture for the keys: arrows step through the"
        " frames, P pins, L locks, Delete removes.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Performance", [animate(frame_count=24, room=200)]),
            Group(
                "3 By hand",
                [
                    Node(
                        "edit",
                        "CM_EditKeypoints",
                        {"keypoints": "@animate.keypoints", "images": "@animate.images"},
                        room=430,
                        width=380,
                    )
                ],
            ),
            Group(
                "4 Film",
                [
                    Node(
                        "motion",
                        "CM_EstimateMotion",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "driving_keypoints": "@edit.keypoints",
                        },
                    ),
                    Node(
                        "generate",
                        "CM_Generate",
                        {
                            "model": "@model.model",
                            "source_image": "@sample.picture",
                            "field": "@motion.field",
                        },
                        room=230,
                    ),
                ],
            ),
        ],
    ),
    Template(
        "09 Cut out, moved, put back",
        "For models that want a face to fill the picture. "
        "*Crop Subject* cuts the same square out of all frames; *Paste Back* puts the moved crop"
        " where"
        " it came from, with a soft edge.\n\nPaint a mask in *Load Image* and connect it to"
        " **subject** to say by hand where the square is.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group(
                "2 Cut out",
                [
                    Node(
                        "cut",
                        "CM_CropSubject",
                        {"images": "@sample.picture", "finder": "@model.model"},
                        room=230,
                    )
                ],
            ),
            Group("3 Motion", [animate(source_image="@cut.images", frame_count=32)]),
            Group(
                "4 Put back",
                [
                    Node(
                        "paste",
                        "CM_PasteBack",
                        {
                            "images": "@sample.picture",
                            "crops": "@animate.images",
                            "place": "@cut.place",
                        },
                        room=20,
                    ),
                    *film("@paste.images", "motion/pasted"),
                ],
            ),
        ],
    ),
    Template(
        "10 Passes for compositing",
        "The motion itself. "
        "The **field** moves anything drawn for the still picture: here a copy of it in another"
        " colour, and a mask. **Occlusion** is what the picture does not show. All passes are as"
        " large as the frames and lie on one another.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Motion", [animate(frame_count=32, room=220)]),
            Group(
                "3 Passes",
                [
                    Node("field", "CM_PreviewField", {"field": "@animate.field"}, room=200),
                    Node("hidden", "CM_OcclusionMask", {"field": "@animate.field", "grow": 4}),
                    Node("shown", "MaskPreview", {"mask": "@hidden.mask"}, room=120),
                ],
            ),
            Group(
                "4 Another version",
                [
                    Node("other", "ImageInvert", {"image": "@sample.picture"}),
                    Node(
                        "warp",
                        "CM_WarpImage",
                        {"field": "@animate.field", "image": "@other.IMAGE"},
                        room=240,
                    ),
                ],
            ),
        ],
    ),
    Template(
        "11 Paint what was hidden",
        "Occlusion to inpaint. "
        "What comes to light beside a moving head, the picture never showed. *Occlusion Mask* marks"
        " it, grown and feathered; core's *Image Composite Masked* lays anything there: here a"
        " plain"
        " colour, so that you see where.\n\nWith a diffusion model, send **images** and **mask** to"
        " *VAE Encode (for Inpainting)* or *Set Latent Noise Mask* instead.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Motion", [animate(frame_count=32, room=220)]),
            Group(
                "3 What was hidden",
                [
                    Node(
                        "hidden",
                        "CM_OcclusionMask",
                        {
                            "field": "@animate.field",
                            "threshold": 0.5,
                            "grow": 3,
                            "feather": 6.0,
                        },
                    ),
                    Node("mask", "MaskPreview", {"mask": "@hidden.mask"}, room=200),
                ],
            ),
            Group(
                "4 Laid over",
                [
                    Node("paint", "EmptyImage", {"width": 960, "height": 960, "color": 16744448}),
                    Node(
                        "over",
                        "ImageCompositeMasked",
                        {
                            "destination": "@animate.images",
                            "source": "@paint.IMAGE",
                            "x": 0,
                            "y": 0,
                            "resize_source": True,
                            "mask": "@hidden.mask",
                        },
                    ),
                ],
            ),
            Group("5 Film", film("@over.IMAGE", "motion/inpainted")),
        ],
    ),
    Template(
        "12 Parts of a face",
        "Eyes, lips, hair as masks. "
        "*Segment Parts* knows the parts of a face; *Part Mask* makes a mask of those you number,"
        " for any node that takes one.\n\n*Swap Parts* lays parts of one picture over another: here"
        " the eyes of the man in the clip, in her face. Other numbers, other parts: see *Preview"
        " Parts*.",
        [
            Group("1 Pictures", [sample(), model()]),
            Group(
                "2 Parts",
                [
                    Node(
                        "parts",
                        "CM_SegmentParts",
                        {"model": "@model.model", "images": "@sample.picture"},
                    ),
                    Node(
                        "seen",
                        "CM_PreviewParts",
                        {"parts": "@parts.parts", "images": "@sample.picture"},
                        room=230,
                    ),
                    Node("mask", "CM_PartMask", {"parts": "@parts.parts", "indices": "4, 5, 7"}),
                ],
            ),
            Group(
                "3 Swapped",
                [
                    Node("clip", "GetVideoComponents", {"video": "@sample.clip"}),
                    Node(
                        "one",
                        "ImageFromBatch",
                        {"image": "@clip.images", "batch_index": 0, "length": 1},
                    ),
                    Node(
                        "swap",
                        "CM_SwapParts",
                        {
                            "model": "@model.model",
                            "source_image": "@one.IMAGE",
                            "target_images": "@sample.picture",
                            "indices": "4, 5",
                        },
                    ),
                ],
            ),
            Group(
                "4 Result",
                [
                    Node("shown", "MaskPreview", {"mask": "@mask.mask"}, room=200),
                    Node("result", "PreviewImage", {"images": "@swap.images"}, room=280),
                ],
            ),
        ],
    ),
    Template(
        "13 A checkpoint of your own",
        "LivePortrait, FOMM, TPSMM, MRAA ... "
        "Put the file as it was published into `models/motion` (a `.pth.tar` must not be unpacked),"
        " press **R**, and choose it in *Load Motion Model*: it says what it recognised. Until then"
        " the pack's own model for any subject stands in.\n\nTheir licences are their authors' own:"
        " the node's help has them.",
        [
            Group("1 Picture and clip", [sample()]),
            Group("2 Your model", [model(ANYTHING)]),
            Group("3 Motion", [animate(size="model", frame_count=12, reference_frame=0)]),
            Group("4 Film", [save(name="motion/checkpoint")]),
        ],
    ),
    Template(
        "14 One face of a group, dialled",
        "An expression by dials, with no clip. "
        "**face** on *Encode Source* says who, 1, 2, ... from the left. Each *Edit Expression* is"
        " a key:"
        " its dials stand in one **frame**, and **ease** in and out round it.\n\n"
        "For LivePortrait, put its five files into `models/liveportrait`, press **R**, and choose"
        " it in"
        " *Load Motion Model*. The face comes back into the picture where it was; the rest stays.",
        [
            Group("1 Picture", [sample(), model()]),
            Group(
                "2 Two faces",
                [
                    Node("small", "ImageScale", small("@sample.picture")),
                    Node(
                        "pair",
                        "ImageStitch",
                        {
                            "image1": "@small.IMAGE",
                            "image2": "@small.IMAGE",
                            "direction": "right",
                            "match_image_size": True,
                        },
                    ),
                    Node(
                        "encode",
                        "CM_EncodeSource",
                        {"model": "@model.model", "source_image": "@pair.IMAGE", "face": 2},
                    ),
                ],
            ),
            Group(
                "3 A smile",
                [
                    Node(
                        "smile",
                        "CM_EditExpression",
                        {
                            "keypoints": "@encode.source_keypoints",
                            "smile": 0.9,
                            "brows": 0.3,
                            "frame": 12,
                            "ease": 8,
                            "frames": 36,
                        },
                    ),
                ],
            ),
            Group(
                "4 A turn, a wink",
                [
                    Node(
                        "turn",
                        "CM_EditExpression",
                        {
                            "keypoints": "@smile.keypoints",
                            "yaw": 9.0,
                            "wink_left": 1.0,
                            "frame": 26,
                            "ease": 6,
                        },
                    ),
                ],
            ),
            Group(
                "5 Frames",
                [
                    Node(
                        "motion",
                        "CM_EstimateMotion",
                        {
                            "model": "@model.model",
                            "source_image": "@pair.IMAGE",
                            "driving_keypoints": "@turn.keypoints",
                            "portrait": "@encode.portrait",
                        },
                    ),
                    Node(
                        "generate",
                        "CM_Generate",
                        {
                            "model": "@model.model",
                            "source_image": "@pair.IMAGE",
                            "field": "@motion.field",
                            "portrait": "@encode.portrait",
                        },
                    ),
                    *film("@generate.images", "motion/dialled"),
                ],
            ),
        ],
    ),
    Template(
        "15 Passes for Nuke, Fusion, After Effects",
        "As files. "
        "*Save Motion Passes* writes an EXR a frame, with named layers: STMap, forward and backward"
        " vectors, occlusion, and the frames, in a new folder of `output/motion`. A .json beside"
        " them"
        " tells sizes and conventions, and *Load Field* reads it back.\n\nWithout the package"
        " OpenEXR each pass is a file of its own. *Field Strength* and *Smooth Field* between"
        " the two"
        " change the motion first.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Motion", [animate(frame_count=8, room=220)]),
            Group(
                "3 Passes",
                [
                    Node(
                        "passes",
                        "CM_SaveMotionPasses",
                        {"field": "@animate.field", "images": "@animate.images"},
                        room=40,
                    ),
                    Node("folder", "PreviewAny", {"source": "@passes.folder"}, room=60),
                ],
            ),
        ],
    ),
    Template(
        "16 One frame painted, the clip follows",
        "Style one frame. "
        "*Field from Video* finds where every pixel of the clip is in its first frame. What is"
        " done to"
        " that frame (here a negative; yours is an image edited or generated) goes along with the"
        " clip.\n\n**mask** is what the first frame does not show: repaint only that, with *Set"
        " Latent"
        " Noise Mask* or *VAE Encode (for Inpainting)*. Here it shows the clip itself.",
        [
            Group(
                "1 Clip",
                [sample(), Node("film", "GetVideoComponents", {"video": "@sample.clip"})],
            ),
            Group(
                "2 Its motion",
                [
                    Node(
                        "clip",
                        "ImageFromBatch",
                        {"image": "@film.images", "batch_index": 0, "length": 12},
                    ),
                    Node("field", "CM_FieldFromVideo", {"images": "@clip.IMAGE", "detail": 384}),
                    Node("hidden", "CM_OcclusionMask", {"field": "@field.field", "close": 2}),
                ],
            ),
            Group(
                "3 The painted frame",
                [
                    Node(
                        "first",
                        "ImageFromBatch",
                        {"image": "@film.images", "batch_index": 0, "length": 1},
                    ),
                    Node("painted", "ImageInvert", {"image": "@first.IMAGE"}),
                    Node(
                        "warp",
                        "CM_WarpImage",
                        {"field": "@field.field", "image": "@painted.IMAGE"},
                        room=200,
                    ),
                ],
            ),
            Group(
                "4 Film",
                [
                    Node(
                        "both",
                        "ImageCompositeMasked",
                        {
                            "destination": "@warp.images",
                            "source": "@clip.IMAGE",
                            "mask": "@hidden.mask",
                            "resize_source": True,
                        },
                    ),
                    *film("@both.IMAGE", "motion/painted"),
                ],
            ),
        ],
    ),
    Template(
        "17 Noise and tracks for diffusion",
        "What steers a sampler. "
        "*Warp Noise* makes noise that sticks to the moving subject and is white in every frame:"
        " its"
        " **noise** goes into *SamplerCustomAdvanced* in place of *Random Noise*, with a latent"
        " of as"
        " many pictures as there are frames, or a video model's. Here it is saved as a latent.\n\n"
        "*Field to Tracks* follows points of the picture: its **text** goes into *WanTrackToVideo*,"
        " its **tracks** into the Wan-Move nodes.",
        [
            Group("1 Picture and clip", [sample(), model()]),
            Group("2 Motion", [animate(frame_count=16, room=220)]),
            Group(
                "3 Noise",
                [
                    Node(
                        "latent",
                        "EmptyLatentImage",
                        {"width": 512, "height": 512, "batch_size": 16},
                    ),
                    Node(
                        "noise",
                        "CM_WarpNoise",
                        {"field": "@animate.field", "latent": "@latent.LATENT", "seed": 7},
                    ),
                    Node(
                        "saved",
                        "SaveLatent",
                        {"samples": "@noise.latent", "filename_prefix": "motion/noise"},
                    ),
                ],
            ),
            Group(
                "4 Tracks",
                [
                    Node(
                        "tracks",
                        "CM_FieldToTracks",
                        {"field": "@animate.field", "width": 832, "height": 480, "count": 30},
                    ),
                    Node("text", "PreviewAny", {"source": "@tracks.text"}, room=200),
                ],
            ),
        ],
    ),
    Template(
        "18 Diffusion paints what was hidden",
        "Only what comes to light is generated. "
        "*Occlusion Mask*, soft and closed in time, goes with the encoded frames to *Set Latent"
        " Noise Mask*; *Differential Diffusion* repaints the more the whiter it is. *Warp Noise*"
        " makes noise that moves along, so that what is painted does not boil.\n\n**Needs a"
        " checkpoint**: `v1-5-pruned-emaonly-fp16.safetensors` in `models/checkpoints`, or any SD"
        " 1.5 or SDXL model that you choose in *Load Checkpoint*. Say in the upper text what is"
        " behind the subject.",
        [
            picture_of(512),
            Group(
                "2 Motion",
                [model(), animate(source_image="@small.IMAGE", frame_count=16, room=220)],
            ),
            Group(
                "3 What was hidden",
                [
                    Node(
                        "hidden",
                        "CM_OcclusionMask",
                        {"field": "@animate.field", "grow": 8, "feather": 8.0, "close": 2},
                    ),
                    Node("mask", "MaskPreview", {"mask": "@hidden.mask"}, room=200),
                ],
            ),
            checkpoint(
                "4 Diffusion model", "a plain wall, soft light, photograph", "person, text, frame"
            ),
            Group(
                "5 What is repainted",
                [
                    Node(
                        "encoded",
                        "VAEEncode",
                        {"pixels": "@animate.images", "vae": "@checkpoint.VAE"},
                    ),
                    Node(
                        "latent",
                        "SetLatentNoiseMask",
                        {"samples": "@encoded.LATENT", "mask": "@hidden.mask"},
                    ),
                    Node(
                        "noise",
                        "CM_WarpNoise",
                        {"field": "@animate.field", "latent": "@latent.LATENT", "seed": 7},
                        room=200,
                    ),
                    Node("soft", "DifferentialDiffusion", {"model": "@checkpoint.MODEL"}),
                ],
            ),
            sampler("6 Sampling", "@soft.MODEL", "@latent.LATENT", denoise=0.9),
            Group("7 Film", film("@decoded.IMAGE", "motion/repainted")),
        ],
    ),
    Template(
        "19 Diffusion over a warped latent",
        "Encoded once, moved, painted over. "
        "The picture is encoded once, *Warp Latent* moves it as it is, and the sampler paints over"
        " every frame from noise that moves with it (*Warp Noise*): the less **denoise** in *Basic"
        " Scheduler*, the closer to the picture.\n\n**Needs a checkpoint**:"
        " `v1-5-pruned-emaonly-fp16.safetensors` in `models/checkpoints`, or any SD 1.5 or SDXL"
        " model that you choose in *Load Checkpoint*.",
        [
            picture_of(512),
            Group(
                "2 Motion",
                [model(), animate(source_image="@small.IMAGE", frame_count=16, room=220)],
            ),
            checkpoint(
                "3 Diffusion model",
                "oil painting of a woman, thick brush strokes",
                "photograph, text, frame",
            ),
            Group(
                "4 In motion",
                [
                    Node(
                        "encoded", "VAEEncode", {"pixels": "@small.IMAGE", "vae": "@checkpoint.VAE"}
                    ),
                    Node(
                        "latent",
                        "CM_WarpLatent",
                        {"field": "@animate.field", "latent": "@encoded.LATENT"},
                        room=200,
                    ),
                    Node(
                        "noise",
                        "CM_WarpNoise",
                        {
                            "field": "@animate.field",
                            "latent": "@latent.latent",
                            "seed": 7,
                            "degradation": 0.1,
                        },
                        room=200,
                    ),
                ],
            ),
            sampler("5 Sampling", "@checkpoint.MODEL", "@latent.latent", denoise=0.6),
            Group("6 Film", film("@decoded.IMAGE", "motion/painted_over")),
        ],
    ),
    Template(
        "20 Tracks into Wan",
        "Wan makes the film, our motion leads it. "
        "*Field to Tracks* follows points of the picture through the motion; *WanTrackToVideo*"
        " leads Wan by them. 65 frames at 16 a second are the clip's four seconds.\n\n**Needs** in"
        " `models/diffusion_models` `Wan2_1-I2V-ATI-14B_fp8_e4m3fn.safetensors`, in"
        " `models/text_encoders` `umt5_xxl_fp8_e4m3fn_scaled.safetensors`, in `models/vae`"
        " `wan_2.1_vae.safetensors`, in `models/clip_vision` `clip_vision_h.safetensors`.",
        [
            picture_of(480),
            Group(
                "2 Motion and tracks",
                [
                    model(),
                    animate(source_image="@small.IMAGE", room=220),
                    Node(
                        "tracks",
                        "CM_FieldToTracks",
                        {"field": "@animate.field", "width": 480, "height": 480, "count": 40},
                    ),
                ],
            ),
            Group(
                "3 Wan",
                [
                    Node(
                        "wan",
                        "UNETLoader",
                        {"unet_name": WAN["diffusion_models"], "weight_dtype": "fp8_e4m3fn"},
                        files=[wan("diffusion_models")],
                    ),
                    Node("shifted", "ModelSamplingSD3", {"model": "@wan.MODEL", "shift": 8.0}),
                    Node(
                        "text",
                        "CLIPLoader",
                        {"clip_name": WAN["text_encoders"], "type": "wan"},
                        files=[wan("text_encoders")],
                    ),
                    Node("vae", "VAELoader", {"vae_name": WAN["vae"]}, files=[wan("vae")]),
                    Node(
                        "sight",
                        "CLIPVisionLoader",
                        {"clip_name": WAN["clip_vision"]},
                        files=[wan("clip_vision")],
                    ),
                ],
            ),
            Group(
                "4 Told",
                [
                    Node(
                        "positive",
                        "CLIPTextEncode",
                        {"text": "A woman talks, a portrait.", "clip": "@text.CLIP"},
                        room=60,
                    ),
                    Node(
                        "negative",
                        "CLIPTextEncode",
                        {"text": "still picture, text, blurred, deformed", "clip": "@text.CLIP"},
                        room=60,
                    ),
                    Node(
                        "seen",
                        "CLIPVisionEncode",
                        {
                            "clip_vision": "@sight.CLIP_VISION",
                            "image": "@small.IMAGE",
                            "crop": "none",
                        },
                    ),
                    Node(
                        "led",
                        "WanTrackToVideo",
                        {
                            "positive": "@positive.CONDITIONING",
                            "negative": "@negative.CONDITIONING",
                            "vae": "@vae.VAE",
                            "tracks": "@tracks.text",
                            "width": 480,
                            "height": 480,
                            "length": 65,
                            "start_image": "@small.IMAGE",
                            "clip_vision_output": "@seen.CLIP_VISION_OUTPUT",
                        },
                    ),
                ],
            ),
            Group(
                "5 Film",
                [
                    Node(
                        "sampled",
                        "KSampler",
                        {
                            "model": "@shifted.MODEL",
                            "positive": "@led.positive",
                            "negative": "@led.negative",
                            "latent_image": "@led.latent",
                            "seed": 7,
                            "steps": 20,
                            "cfg": 3.0,
                            "sampler_name": "uni_pc",
                            "scheduler": "simple",
                        },
                    ),
                    Node("decoded", "VAEDecode", {"samples": "@sampled.LATENT", "vae": "@vae.VAE"}),
                    *film("@decoded.IMAGE", "motion/wan", 16.0),
                ],
            ),
        ],
    ),
]
