"""What a step that edits time decides: which parts of a film are kept, how fast, how loud. No media, no servers."""
