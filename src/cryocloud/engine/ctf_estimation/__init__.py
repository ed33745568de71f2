"""CTF estimation from the Thon rings of a micrograph."""

from cryocloud.engine.ctf_estimation.estimate import CtfEstimate, CtfSettings, estimate_ctf
from cryocloud.engine.ctf_estimation.picture import rings_beside_model, squared_ctf_along_radius
from cryocloud.engine.ctf_estimation.rings import Defocus, MicroscopeOptics
from cryocloud.engine.ctf_estimation.search import SearchRange

__all__ = [
    "CtfEstimate",
    "CtfSettings",
    "Defocus",
    "MicroscopeOptics",
    "SearchRange",
    "estimate_ctf",
    "rings_beside_model",
    "squared_ctf_along_radius",
]
