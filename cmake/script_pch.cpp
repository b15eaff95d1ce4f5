// A translation unit that exists only to carry the precompiled header.
