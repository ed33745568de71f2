// Where the contrast transfer function crosses zero.
export interface Ctf {
  defocus_u_angstrom?: number;
  defocus_v_angstrom?: number;
  defocus_angle_deg?: number;
  phase_shift_deg?: number;
  voltage_kv?: number;
  spherical_aberration_mm?: number;
  amplitude_contrast?: number;
  resolution_angstrom?: number;
}

export function wavelengthAngstrom(voltageKv: number): number {
  const volts = 1000 * voltageKv;
  return 12.2643247 / Math.sqrt(volts * (1 + 0.978466e-6 * volts));
}

// Spatial frequency (1/Å) of zero number n in a direction, or null beyond the last one that exists.
export function zeroFrequency(ctf: Ctf, n: number, directionRad: number): number | null {
  const { defocus_u_angstrom: u, voltage_kv: voltageKv } = ctf;
  if (u === undefined || voltageKv === undefined) return null;
  const v = ctf.defocus_v_angstrom ?? u;
  const angle = ((ctf.defocus_angle_deg ?? 0) * Math.PI) / 180;
  const defocus = (u + v) / 2 + ((u - v) / 2) * Math.cos(2 * (directionRad - angle));
  const wavelength = wavelengthAngstrom(voltageKv);
  const offset = Math.asin(ctf.amplitude_contrast ?? 0) + ((ctf.phase_shift_deg ?? 0) * Math.PI) / 180;
  // linear * k^2 - quartic * k^4 = n * pi - offset
  const linear = Math.PI * wavelength * defocus;
  const quartic = (Math.PI / 2) * (ctf.spherical_aberration_mm ?? 0) * 1e7 * wavelength ** 3;
  const target = n * Math.PI - offset;
  if (linear <= 0 || target <= 0) return null;
  const root = linear * linear - 4 * quartic * target;
  if (root < 0) return null;
  return Math.sqrt((2 * target) / (linear + Math.sqrt(root)));
}
