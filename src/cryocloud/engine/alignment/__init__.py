"""Comparison of images with references: likelihood scores, posteriors over poses, local refinement."""
