"""Images: the read-only root file systems that programs run in.

`python`, the embedded default, is made of the host's interpreter (`host`). All others are folders of `sandbox_images/`,
each with a manifest (`manifest`), built into a root file system of their own.
"""

from gradebox_engine.images.host import host_python
from gradebox_engine.images.image import INSIDE_FOLDER, PACKAGES_FOLDER, Image, Language

__all__ = ["INSIDE_FOLDER", "PACKAGES_FOLDER", "Image", "Language", "host_python"]
