"""Pictures in memory to RGB rows, in the arithmetic of the model's own reader: alpha on white, all else converted."""
from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import InvalidInput

Rgb = npt.NDArray[np.uint8]


def is_pil_image(value: object) -> bool:
    """Without importing Pillow: who hands a picture in has imported it."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(value, pil.Image)


def from_pil(image: Any, apply_orientation: bool) -> Rgb:
    """Of a `PIL.Image.Image`; the same pixels that the library reads from the picture's file."""
    if apply_orientation:
        from PIL import ImageOps
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGBA":
        return over_white(np.asarray(image))
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def over_white(rgba: Rgb) -> Rgb:
    """Pillow's paste on white with the alpha channel as mask."""
    colour, alpha = rgba[..., :3].astype(np.uint32), rgba[..., 3:].astype(np.uint32)
    mixed = colour * alpha + 255 * (255 - alpha) + 128
    return np.ascontiguousarray(((mixed >> 8) + mixed) >> 8, dtype=np.uint8)


def from_array(array: npt.NDArray[Any]) -> Rgb:
    """[height, width], [height, width, 1, 3 or 4] of 8 bits."""
    if array.dtype != np.uint8:
        raise InvalidInput(f"a picture of {array.dtype}; arrays must be uint8, from 0 to 255")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InvalidInput(f"an array of shape {array.shape}; a picture is [height, width] or [height, width, 1, 3 or 4]")
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return over_white(array) if array.shape[2] == 4 else np.ascontiguousarray(array)
