"""Data whose truth is known: proteins, their potential, particle images, micrographs, movies, comparisons.

The chain of image formation is that of a weak phase object. `protein` or a file gives atoms, `density`
their potential V(r), and an image is

    CTF * damage * (projection of V) + noise

`particles` makes boxed images with Gaussian noise (white protein), `micrographs` and `movies` make counted
electrons with the ice between the particles (dark protein), `comparison` lays results on the truth.

Draws of images come from generators seeded by the recipe's seed, a number for the purpose and the number
of the item. So item 7 is the same whether or not items 0 to 6 were made, and no draw shifts another.
"""
