"""Training on a machine that is not this one: a job of the Hugging Face Hub, SkyPilot or Slurm."""
