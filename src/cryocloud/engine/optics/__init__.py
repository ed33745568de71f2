"""Image formation in the electron microscope."""

from cryocloud.engine.optics.contrast_transfer import contrast_transfer, ctf, electron_wavelength_angstrom

__all__ = ["contrast_transfer", "ctf", "electron_wavelength_angstrom"]
