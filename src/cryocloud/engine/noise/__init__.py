"""Power spectra of the noise in particle images."""

from cryocloud.engine.noise.spectrum import initial_noise_spectrum, noise_from_residuals, residual_power

__all__ = ["initial_noise_spectrum", "noise_from_residuals", "residual_power"]
