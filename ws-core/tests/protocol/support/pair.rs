//! Two endpoints joined by a wire that loses nothing, under virtual time.
