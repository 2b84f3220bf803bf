"""Compiles a Hugging Face BLIP for question answering into the model directory that the `neuron-blip` package loads."""
