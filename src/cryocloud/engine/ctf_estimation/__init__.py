"""CTF estimation from the Thon rings of a micrograph.

The power spectrum of a micrograph of weak phase objects is ``signal * CTF^2 + noise``. Its rings tell the
defocus, its direction and its phase shift; nothing else of the specimen needs to be known. Modules in the
order of the work: `spectrum` (smoothed power, flattened along the radius), `rings` (the phase as a linear
function of the unknowns), `search` (grid), `fit` (least squares), `quality` (what the fit is worth),
`picture`.
"""

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
