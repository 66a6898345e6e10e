"""From a run to something that other people use: adapter, merged model, scripts, Ollama, each checked afresh."""
