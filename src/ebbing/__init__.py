"""Machine unlearning by decay, measured against retraining."""

