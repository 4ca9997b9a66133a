"""The prefix cache: slots, runs, their tree, and what is evicted first. Integers only."""
