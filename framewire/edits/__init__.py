"""What a step that edits time decides: which parts of a film are kept, how fast, how loud. Pure: no media, no server."""
