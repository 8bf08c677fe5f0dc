"""The default embedder: a pretrained sentence encoder, exported with few bits a weight."""
