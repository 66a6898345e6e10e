"""The page: a Gradio app over run directories and the GPU thread. The engine does not know it."""
