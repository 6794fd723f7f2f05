"""Name a car part from a photo: a reproducible study of CNNs and Siamese networks."""
