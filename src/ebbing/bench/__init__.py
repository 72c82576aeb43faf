"""The leaderboard: methods within budgets on frozen tasks, beside what chance alone gives."""
