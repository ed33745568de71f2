"""Files of the field, and records made of them: the border where foreign conventions end.

A convention is converted once, here; behind this package everything follows
``docs/methods/conventions.md``.

====================  ===========================================  =====================================
quantity              in files                                     in the engine
====================  ===========================================  =====================================
image number          from 1 ("000001@stack.mrcs")                 section from 0
class, half set       RELION from 1, cryoSPARC from 0              as RELION; 0 = not assigned
pixels, coordinates   centers at whole numbers from 0, y = 0 is    the same
                      the first row of the MRC file
fraction of image     cryoSPARC, of width and height               pixels
orientation           RELION: rot, tilt, psi, degrees, ZYZ         M = Rz(rot) Ry(tilt) Rz(psi), the
                                                                   transpose of RELION's matrix
                      cryoSPARC: rotation vector, radians          M of this vector
origin                RELION Angstrom, cryoSPARC pixels: minus     ``shift_px``, the same sign, pixels
                      the displacement of the object
defocus               Angstrom, underfocus positive, u >= v        the same
angles of the CTF     RELION degrees, cryoSPARC radians            degrees
voltage, Cs           kV, mm                                       the same
beam tilt             RELION mrad, cryoSPARC Cs * tilt, Angstrom   mrad
detector pixel        RELION 3.0: micrometer, and magnification    pixel size in Angstrom
atoms                 PDB, mmCIF: Angstrom, xyz                    the same
====================  ===========================================  =====================================

Readers raise `InputError` with the file, the place in it and what to do. They check before they allocate,
never run code that a file holds, and open only what `name_gate` allows.
"""
