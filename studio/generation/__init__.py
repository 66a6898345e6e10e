"""Answers and likelihoods from one loaded model: what training and comparing both use."""
