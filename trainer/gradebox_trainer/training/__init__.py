"""What every training loop needs: optimiser, schedule, checkpoints, metrics, several devices."""
