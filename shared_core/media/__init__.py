"""Images, audio, video and documents: what goes in, what comes out."""
