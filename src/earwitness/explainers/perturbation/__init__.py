"""perturbation."""
