"""Extension: which plugins exist, how far each counts where, and how they are asked without being trusted."""
