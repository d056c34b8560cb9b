"""One picture, from a file's bytes to a small square of RGB."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def decode(content: bytes, size: int) -> UInt8[Tensor, "3 size size"]:
    """The picture's middle, scaled, the right way up, on white where it is transparent.

    More than eight bits a pixel, or fractions, are brought to eight bits.

    Raises:
        Exception: of any kind, by its format, where it cannot be decoded or is too large.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            opened = Image.open(io.BytesIO(content))
        except UnidentifiedImageError as error:  # which names the stream
            raise ValueError("no format that is known" if content else "empty") from error
        with opened:
            picture = ImageOps.exif_transpose(opened)  # first: what is made of it does not say which way up it is
            deep = picture.mode[:1] in "IF"
            shallow = Image.fromarray(_eight_bits(np.asarray(picture))) if deep else picture
            if shallow.has_transparency_data:
                shallow = shallow.convert("RGBA")
                shallow = Image.alpha_composite(Image.new("RGBA", shallow.size, "white"), shallow)
            square = ImageOps.fit(shallow.convert("RGB"), (size, size))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def _eight_bits(values: Any) -> Any:
    """Greys as uint8: whole numbers are of 16 bits, or of 31; fractions of [0, 1], 8 or 16 bits, as fits.

    Resampling carries fractions a little beyond their bound.
    """
    import numpy as np

    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    highest = float(values.max())
    if values.dtype.kind == "f":
        scale = next((255 / most for most in (1, 255, 65535) if highest <= 2 * most), 255 / max(highest, 1))
    else:
        scale = 255 / (65535 if highest <= 65535 else 2**31 - 1)
    return (values.astype(np.float64) * scale).round().clip(0, 255).astype(np.uint8)
