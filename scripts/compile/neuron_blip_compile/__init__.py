"""Compiles a Hugging Face BLIP into the model directory that the `neuron-blip` package loads."""
